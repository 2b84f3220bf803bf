import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { NeuronBlip } from "neuron-blip";
import type { ServerOptions } from "../options.js";
import { readKeys } from "../security/api-keys.js";
import { createMetricsServer, createServer } from "../server.js";
import { HELP, isLoopback, readArguments, type ServeArguments, UsageError } from "./arguments.js";
import { modelOptions } from "./model-options.js";
import { watchReplicas } from "./replicas.js";
import { runCommand } from "./run-command.js";
import { untilStopped } from "./until-stopped.js";

/** Where SageMaker puts a container's model. */
const CONTAINER_MODEL = "/opt/ml/model";

/**
 * Runs `neuron-blip serve`: loads a model, and serves it until a signal ends it.
 * @param args the command line's, after `serve`.
 * @returns the exit code.
 */
export function runServe(args: string[]): Promise<number> {
  return runCommand(async () => {
    const given = readArguments(args, existsSync(CONTAINER_MODEL) ? CONTAINER_MODEL : undefined);
    if (given !== undefined) return serve(given);
    process.stdout.write(`${HELP}\n`);
    return 0;
  });
}

async function serve(given: ServeArguments): Promise<number> {
  const { host, port, metricsPort, drainDelayMs, graceMs } = given;
  const options = await serverOptions(given);
  await using blip = await NeuronBlip.fromPretrained(given.model, modelOptions(given));
  const server = await createServer(blip, options);
  const lost = watchReplicas(blip, server.app.log);
  const metrics = metricsPort === undefined ? undefined : await createMetricsServer(server);
  try {
    await metrics?.listen({ host, port: metricsPort ?? 0 });
    await server.app.listen({ host, port });
  } catch (error) {
    // The one that listens would keep the process.
    await Promise.all([metrics?.close(), server.app.close()]);
    throw error;
  }
  if (options.apiKeys?.length === 0 && !isLoopback(host)) {
    server.app.log.warn("no key is needed: whoever reaches this address may ask");
  }
  const stopped = await untilStopped(server, { drainDelayMs, graceMs, lost });
  await metrics?.close();
  // What is under way may never end.
  if (!stopped.inTime) process.exit(1);
  return lost.aborted ? 1 : 0;
}

async function serverOptions(given: ServeArguments): Promise<ServerOptions> {
  const { apiKeyFile, maxBody, timeoutMs, logLevel, metricsPort } = given;
  const apiKeys = apiKeyFile === undefined ? [] : readKeys(await readFile(apiKeyFile, "utf8"));
  if (apiKeyFile !== undefined && apiKeys.length === 0) {
    throw new UsageError(`--api-key-file ${apiKeyFile} has no key in it.`);
  }
  return {
    modelName: given.name ?? (basename(given.model) || "blip"),
    standingQuestions: given.questions,
    apiKeys,
    allowedHosts: given.allowedHosts,
    allowedUrls: given.allowedUrls,
    limits: {
      ...(maxBody !== undefined && { maxBodyBytes: maxBody }),
      ...(timeoutMs !== undefined && { requestTimeoutMs: timeoutMs }),
    },
    metrics: metricsPort === undefined,
    ...(logLevel !== undefined && { logLevel }),
  };
}
