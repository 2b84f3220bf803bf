import assert from "node:assert/strict";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip, NeuronBlipForQuestionAnswering } from "neuron-blip";
import { compiledModel, demo, demoQuestions, fails, fixture } from "../helpers.js";

const [asked] = demoQuestions as [(typeof demoQuestions)[number]];
const picture = join(demo, asked.picture);

describe("a model directory", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-"));
    cpSync(compiledModel, directory, { recursive: true });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const at = (name: string) => join(directory, name);
  const swap = (one: string, other: string) => {
    renameSync(at(one), at("aside"));
    renameSync(at(other), at(one));
    renameSync(at("aside"), at(other));
  };
  const editJson = (name: string, edit: (json: Record<string, unknown>) => void) => {
    const json = JSON.parse(readFileSync(at(name), "utf8"));
    edit(json);
    writeFileSync(at(name), JSON.stringify(json));
  };

  /** Each makes the directory one that must not load. */
  const faults: [string, () => void, Parameters<typeof fails>][] = [
    ["is not there", () => rmSync(directory, { recursive: true }), ["ARTIFACT_NOT_FOUND", /compile/]],
    ["lacks config.json", () => rmSync(at("config.json")), ["ARTIFACT_NOT_FOUND", /config\.json/]],
    ["has a config.json that is no JSON", () => writeFileSync(at("config.json"), "{"), ["ARTIFACT_CORRUPT", /JSON/]],
    [
      "is of another kind of model",
      () => editJson("config.json", (json) => Object.assign(json, { model_type: "bert" })),
      ["ARTIFACT_MISMATCH", /"bert"/],
    ],
    ["lacks a part", () => rmSync(at("text_decoder.pt")), ["ARTIFACT_NOT_FOUND", /text_decoder\.pt/]],
    ["has a truncated part", () => truncateSync(at("vision_model.pt"), 100_000), ["ARTIFACT_MISMATCH", /bytes/]],
    ["has swapped parts", () => swap("text_encoder.pt", "text_decoder.pt"), ["ARTIFACT_MISMATCH", /not the file/]],
    [
      "has a part with one byte changed",
      () => {
        const bytes = readFileSync(at("vision_model.pt"));
        bytes[1_000_000] = (bytes[1_000_000] as number) ^ 1;
        writeFileSync(at("vision_model.pt"), bytes);
      },
      ["ARTIFACT_MISMATCH", /SHA-256/],
    ],
    [
      "has a manifest of a later format",
      () => editJson("neuron_blip.json", (json) => Object.assign(json, { format_version: 99 })),
      ["ARTIFACT_MISMATCH", /version 99/],
    ],
    [
      "has a manifest without parts",
      () => writeFileSync(at("neuron_blip.json"), '{"format_version":1}'),
      ["ARTIFACT_CORRUPT"],
    ],
    [
      "has a manifest of another picture size than config.json",
      () => editJson("neuron_blip.json", (json) => Object.assign(json, { image_size: 384 })),
      ["ARTIFACT_MISMATCH", /384/],
    ],
    [
      "has a manifest that lacks a part",
      () => editJson("neuron_blip.json", (json) => delete (json.parts as Record<string, unknown>).text_encoder),
      ["ARTIFACT_CORRUPT", /lacks fields/],
    ],
    [
      "has a manifest with nothing said of a part",
      () => editJson("neuron_blip.json", (json) => Object.assign(json.parts as object, { vision_model: null })),
      ["ARTIFACT_CORRUPT", /lacks fields/],
    ],
    [
      "has a manifest whose lengths are not its parts'",
      () => editJson("neuron_blip.json", (json) => Object.assign(json, { question_length: 24 })),
      ["ARTIFACT_MISMATCH", /contradicts itself: text_encoder\.pt takes \[1, 16\]/],
    ],
    [
      "asks for a way of generating that is not supported",
      () => editJson("generation_config.json", (json) => Object.assign(json, { penalty_alpha: 0.6 })),
      ["ARTIFACT_MISMATCH", /penalty_alpha to 0\.6/],
    ],
    [
      "asks for beams that sample, which is not supported",
      () => editJson("generation_config.json", (json) => Object.assign(json, { num_beams: 3, do_sample: true })),
      ["ARTIFACT_MISMATCH", /do_sample together with num_beams/],
    ],
    [
      "has a value in generation_config.json that none can be",
      () => editJson("generation_config.json", (json) => Object.assign(json, { repetition_penalty: "high" })),
      ["ARTIFACT_MISMATCH", /repetitionPenalty must be a number above 0, not "high"/],
    ],
    [
      "has no manifest and a truncated part",
      () => {
        rmSync(at("neuron_blip.json"));
        truncateSync(at("vision_model.pt"), 100_000);
      },
      ["ARTIFACT_CORRUPT", /vision_model\.pt/],
    ],
    [
      "has no manifest and swapped parts",
      () => {
        rmSync(at("neuron_blip.json"));
        swap("vision_model.pt", "text_decoder.pt");
      },
      ["ARTIFACT_MISMATCH", /looks like a text_decoder/],
    ],
    ["has no tokenizer", () => rmSync(at("tokenizer.json")), ["ARTIFACT_NOT_FOUND", /tokenizer/]],
  ];
  for (const [what, make, [code, message]] of faults) {
    it(`that ${what} is refused with ${code}, and a good one loads afterwards`, async () => {
      make();
      await assert.rejects(NeuronBlip.fromPretrained(directory), fails(code, message));
      await (await NeuronBlipForQuestionAnswering.fromPretrained(compiledModel)).dispose();
    });
  }

  it("without a manifest loads and answers: its lengths are found by trial", async () => {
    await using expected = await NeuronBlip.fromPretrained(compiledModel);
    rmSync(at("neuron_blip.json"));
    await using blip = await NeuronBlip.fromPretrained(directory);
    const { answer } = await blip.answer(picture, asked.question);
    assert.equal(answer, (await expected.answer(picture, asked.question)).answer);
  });

  it("names no file of the machine that it was compiled on", () => {
    for (const model of [compiledModel, fixture("parity/small-batch-2/model"), fixture("parity/tutorial/model")]) {
      const parts = readdirSync(model).filter((name) => name.endsWith(".pt"));
      assert(parts.length >= 3);
      for (const part of parts) {
        // A zip archive: its entries' names are not compressed.
        const archive = readFileSync(join(model, part), "latin1");
        assert(archive.includes(`${part.slice(0, -3)}/data.pkl`), `${part} has another name inside`);
        assert(!archive.includes(".debug_pkl"), `${part} has TorchScript's debug records`);
      }
    }
  });

  it("refuses lengths that it was not compiled for", async () => {
    const wrong = NeuronBlip.fromPretrained(directory, { questionLength: 8 });
    await assert.rejects(wrong, fails("INVALID_INPUT", /compiled for 16/));
    await (await NeuronBlip.fromPretrained(directory, { questionLength: 16, answerLength: 10 })).dispose();
  });

  it("takes its tokenizer from another directory, by option", async () => {
    rmSync(at("tokenizer.json"));
    rmSync(at("tokenizer_config.json"));
    await using blip = await NeuronBlip.fromPretrained(directory, { tokenizer: compiledModel });
    assert.equal((await blip.answer(picture, asked.question)).answer, asked.answer);
  });

  it("is not compared with its manifest where `verify` is false", async () => {
    editJson("neuron_blip.json", (json) => {
      const parts = json.parts as Record<string, { sha256: string }>;
      (parts.vision_model as { sha256: string }).sha256 = "0".repeat(64);
    });
    await assert.rejects(NeuronBlip.fromPretrained(directory), fails("ARTIFACT_MISMATCH"));
    await (await NeuronBlip.fromPretrained(directory, { verify: false })).dispose();
  });
});
