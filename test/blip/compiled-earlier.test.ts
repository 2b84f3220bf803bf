// Directories that earlier versions compiled with parts that are not made any more.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip } from "neuron-blip";
import { fails, fixture } from "../helpers.js";

const compiled = fixture("parity/small-batch-2/model");
const cat = fixture("pictures/chelsea.png");

describe("a directory with an earlier version's parts for the CPU", () => {
  const directory = mkdtempSync(join(tmpdir(), "neuron-blip-earlier-"));
  const load = (model: string) => NeuronBlip.fromPretrained(model, { threads: 1 });

  before(() => {
    cpSync(compiled, directory, { recursive: true });
    const path = join(directory, "neuron_blip.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    // Its files need not be there, nor be described as anything is now.
    writeFileSync(path, JSON.stringify({ ...manifest, cpu_parts: { linears: "bf16", dtype: "bfloat16", parts: {} } }));
  });
  after(() => rmSync(directory, { recursive: true }));

  it("runs by the tutorial's parts, with a warning that says to give the checkpoint", async () => {
    const warnings: string[] = [];
    const { emitWarning } = process;
    process.emitWarning = (warning: string | Error) => void warnings.push(String(warning));
    try {
      await using own = await load(directory);
      await using other = await load(compiled);
      const [answer, expected] = [await own.answer(cat, "dog?"), await other.answer(cat, "dog?")];
      assert.deepEqual(answer.tokenIds, expected.tokenIds);
    } finally {
      process.emitWarning = emitWarning;
    }
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(
      warnings[0] as string,
      /parts for the CPU, which are not used any more.* Give the directory of the checkpoint/,
    );
  });

  it("is an error where the tutorial's parts are not there", async () => {
    rmSync(join(directory, "text_encoder.pt"));
    await assert.rejects(
      load(directory),
      fails("ARTIFACT_NOT_FOUND", /text_encoder\.pt is not there\. Give the directory of the checkpoint/),
    );
  });
});

describe("a directory with a part that this version does not know", () => {
  it("answers by its other parts, and looks at nothing of that one", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-earlier-"));
    try {
      cpSync(compiled, directory, { recursive: true });
      const path = join(directory, "neuron_blip.json");
      const manifest = JSON.parse(readFileSync(path, "utf8"));
      const start = { name: "input_ids", dtype: "int64", shape: [2, 1] };
      // Of `compile --greedy-tokens`, which there was once. Its file is not there.
      const greedy = { file: "text_decoder_greedy.pt", size: 1, sha256: "0", inputs: [start], outputs: [] };
      const parts = { text_decoder_greedy: greedy, none: {}, ...manifest.parts };
      writeFileSync(path, JSON.stringify({ ...manifest, parts }));
      await using own = await NeuronBlip.fromPretrained(directory, { threads: 1 });
      await using other = await NeuronBlip.fromPretrained(compiled, { threads: 1 });
      const [answer, expected] = [await own.answer(cat, "dog?"), await other.answer(cat, "dog?")];
      assert.deepEqual(answer, expected);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
