import type { FastifyBaseLogger } from "fastify";
import type { NeuronBlip } from "neuron-blip";

/**
 * Logs what becomes of a model's replicas.
 * @returns aborted once none can be used in this process any more: another may do better.
 */
export function watchReplicas(blip: Pick<NeuronBlip, "on">, log: FastifyBaseLogger): AbortSignal {
  const lost = new AbortController();
  blip.on("replicaFailed", ({ replica, error }) => log.error({ replica, err: error }, "a replica failed"));
  blip.on("replicaReady", ({ replica }) => log.info({ replica }, "a replica is in use again"));
  blip.on("replicaGivenUp", ({ replica, error }) => log.error({ replica, err: error }, "a replica is given up"));
  blip.on("restartRequired", ({ error }) => {
    log.fatal({ err: error }, "no replica can be used: the process has to be started again");
    lost.abort();
  });
  return lost.signal;
}
