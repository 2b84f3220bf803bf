import type { NeuronBlipOptions } from "neuron-blip";
import { MAX_PIXELS, WAITING_PER_REPLICA } from "../options.js";

/** What command lines say of how a model is loaded. */
export interface ModelArguments {
  readonly replicas: number | "all" | undefined;
  readonly threads: number | undefined;
  readonly decoderThreads: number | undefined;
  readonly dtype: "float32" | "bfloat16" | "int8" | undefined;
  readonly maxWaiting: number | undefined;
  readonly maxPixels: number | undefined;
  readonly revision: string | undefined;
}

export function modelOptions(given: ModelArguments): NeuronBlipOptions {
  const { replicas, threads, decoderThreads, dtype, maxWaiting, maxPixels = MAX_PIXELS, revision } = given;
  return {
    // The server gives the model bytes: no string of a client's is ever a path or a URL.
    files: false,
    fetch: false,
    maxPixels,
    maxQueueLength: { perReplica: maxWaiting ?? WAITING_PER_REPLICA },
    ...(replicas !== undefined && { numModels: replicas }),
    ...(threads !== undefined && { threads }),
    ...(decoderThreads !== undefined && { decoderThreads }),
    ...(dtype !== undefined && { dtype }),
    ...(revision !== undefined && { revision }),
  };
}
