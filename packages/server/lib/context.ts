import type { NeuronBlip } from "neuron-blip";
import type { ServerState } from "./health/server-state.js";
import type { ByteBudget } from "./limits/byte-budget.js";
import type { ServerMetrics } from "./observing/metrics.js";
import type { Limits } from "./options.js";
import type { PictureReader } from "./pictures/picture-reader.js";

/** What a server's parts and protocols share. */
export interface ServerContext {
  readonly blip: NeuronBlip;
  readonly modelName: string;
  readonly limits: Limits;
  readonly standingQuestions: readonly string[];
  readonly pictures: PictureReader;
  readonly bytesInHand: ByteBudget;
  readonly metrics: ServerMetrics;
  readonly state: ServerState;
}
