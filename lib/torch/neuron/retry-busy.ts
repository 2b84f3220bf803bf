import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../errors.js";
import { isBusy } from "./neuron-error.js";

/** Between one try and the next, in ms. A core that is busy is so for about a call. */
const PAUSES_MS = [5, 20, 80];

/**
 * Makes a call on a NeuronCore, again where the runtime is busy (NRT_QUEUE_FULL and its like): it has then done nothing.
 * @throws what the last try throws.
 */
export async function retryBusy<T>(call: () => Promise<T>): Promise<T> {
  for (const pause of PAUSES_MS) {
    try {
      return await call();
    } catch (error) {
      if (!isBusy(messageOf(error))) throw error;
      await delay(pause);
    }
  }
  return call();
}
