// What the tests of failing NeuronCores share: loading, and questions of which none may be lost.
import assert from "node:assert/strict";
import { NeuronBlip } from "neuron-blip";
import { fixture } from "../helpers.ts";
import { type NeuronProcess, prepareStandIns, removeCache, tokensOf } from "./neuron-process.ts";
import { ask, DIFFERENT } from "./neuron-work.mjs";

export const neuronModel = fixture("neuron/inf2");
/** Quick to load again. */
export const two = { numModels: 2, reloadDelayMs: 10 };
export const one = { numModels: 1, reloadDelayMs: 10 };

/**
 * Prepares the stand-ins and the answers of the same model on the CPU, for the tests of the suite that calls it.
 * @returns `expected`, the tokens of each answer, and what asks a host many questions at once and compares its answers with those.
 */
export function prepareQuestions() {
  const expected: number[][] = [];
  before(async function () {
    await prepareStandIns.call(this);
    await using blip = await NeuronBlip.fromPretrained(fixture("neuron/cpu"), { threads: 1 });
    expected.push(...(await Promise.all(Array.from({ length: 2 * DIFFERENT }, (_, n) => ask(blip, n)))));
  });
  after(removeCache);
  const answersAll = async (host: NeuronProcess, count = 2 * DIFFERENT): Promise<void> => {
    assert.deepEqual(tokensOf(await host.ask(count)), expected.slice(0, count));
  };
  return { expected, answersAll };
}
