// The part that begins answers on Neuron, on the stand-in: test/stand-ins/README.md says what that shows and what not.
import assert from "node:assert/strict";
import { NeuronBlip } from "neuron-blip";
import { NeuronHardware } from "../../children/neuron-hardware.ts";
import { NeuronProcess, prepareStandIns, removeCache, tokensOf } from "../../children/neuron-process.ts";
import { ask, DIFFERENT } from "../../children/neuron-work.mjs";
import { fixture } from "../../helpers.ts";

/** Of --greedy-tokens. */
const PART_TOKENS = 4;

describe("the part that begins answers, on a stand-in for Neuron", () => {
  before(prepareStandIns);
  after(removeCache);

  /** The answers of a model, and how many calls they took. */
  async function answersOf(model: string): Promise<{ tokens: number[][]; calls: number }> {
    using hardware = new NeuronHardware({ cores: 1 });
    await using host = new NeuronProcess(hardware);
    await host.load(fixture(model));
    const before = hardware.events().filter(({ event }) => event === "begin").length;
    const tokens = tokensOf(await host.ask(DIFFERENT));
    const calls = hardware.events().filter(({ event }) => event === "begin").length - before;
    await host.end();
    return { tokens, calls };
  }

  it("answers as single steps and as the CPU do, with fewer calls", async () => {
    await using blip = await NeuronBlip.fromPretrained(fixture("neuron/cpu"), { threads: 1 });
    const expected = await Promise.all(Array.from({ length: DIFFERENT }, (_, n) => ask(blip, n)));
    const steps = await answersOf("neuron/inf2");
    const part = await answersOf("neuron/inf2-greedy");
    assert.deepEqual(part.tokens, expected);
    assert.deepEqual(steps.tokens, expected);
    const saved = expected.reduce((sum, { length }) => sum + Math.min(length - 1, PART_TOKENS) - 1, 0);
    assert(saved > 0);
    assert.equal(steps.calls - part.calls, saved);
  });
});
