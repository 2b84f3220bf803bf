// Loads a model for each wrong value; test/processing/json-faults.test.ts tests what loads by itself.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip } from "neuron-blip";
import { compiledModel, demo, demoQuestions } from "../helpers.ts";
import { nested, tryWrongValues } from "../processing/wrong-values.ts";

const [asked] = demoQuestions as [(typeof demoQuestions)[number]];
const picture = join(demo, asked.picture);

describe("a model directory's JSON", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-json-"));
    cpSync(compiledModel, directory, { recursive: true });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const loadModel = async () => {
    await using blip = await NeuronBlip.fromPretrained(directory, { verify: false, warmUp: false });
    await blip.answer(picture, asked.question);
  };

  for (const [name, values, most, least] of [
    ["config.json", ["-1", nested(100_000)], 40, 60],
    ["neuron_blip.json", ["1e9"], 9, 20],
  ] as const) {
    it(`with a wrong value anywhere in ${name} loads or is refused, and the good one loads afterwards`, async () => {
      const { loads, good } = await tryWrongValues(join(directory, name), values, loadModel, most);
      assert(loads >= least, `${loads} loads`);
      assert(good < loads, "nothing was refused");
    }).timeout(180_000);
  }
});
