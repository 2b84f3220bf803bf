// What is given as a model and is none, or no compiled one.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  BertTokenizer,
  BlipImageProcessor,
  BlipProcessor,
  NeuronBlip,
  NeuronBlipForConditionalGeneration,
  NeuronBlipForImageTextRetrieval,
  NeuronBlipForQuestionAnswering,
  pipeline,
  TorchModule,
} from "neuron-blip";
import { compiledModel, demo, demoModel, demoQuestions, fails } from "../helpers.js";

const [{ picture, question, answer }] = demoQuestions as [(typeof demoQuestions)[number]];

/** Every call that takes a model directory. */
const CALLS: Readonly<Record<string, (model: string) => Promise<unknown>>> = {
  "NeuronBlip.fromPretrained": (model) => NeuronBlip.fromPretrained(model),
  "a pipeline": (model) => pipeline("visual-question-answering", model),
  "NeuronBlipForQuestionAnswering.fromPretrained": (model) => NeuronBlipForQuestionAnswering.fromPretrained(model),
  "NeuronBlipForConditionalGeneration.fromPretrained": (model) =>
    NeuronBlipForConditionalGeneration.fromPretrained(model),
  "NeuronBlipForImageTextRetrieval.fromPretrained": (model) => NeuronBlipForImageTextRetrieval.fromPretrained(model),
};
/** Those that take a directory of a part of its files, compiled or not. */
const READERS: Readonly<Record<string, (model: string) => Promise<unknown>>> = {
  "BlipProcessor.fromPretrained": (model) => BlipProcessor.fromPretrained(model),
  "BlipImageProcessor.fromPretrained": (model) => BlipImageProcessor.fromPretrained(model),
  "BertTokenizer.fromPretrained": (model) => BertTokenizer.fromPretrained(model),
  "TorchModule.load": (model) => TorchModule.load(model),
  "the option tokenizer": (model) => NeuronBlip.fromPretrained(demoModel, { tokenizer: model }),
};

describe("what is given as a model and is none", () => {
  let work = "";

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-not-compiled-"));
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  for (const [weights, code, told] of [
    ["model.safetensors", "ARTIFACT_CORRUPT", /model\.safetensors" is no whole safetensors file/],
    [
      "pytorch_model.bin",
      "ARTIFACT_NOT_FOUND",
      /pytorch_model\.bin, a Python pickle.*python -c .*save_pretrained\(d\)/,
    ],
    ["model.safetensors.index.json", "ARTIFACT_CORRUPT", /model\.safetensors\.index\.json" is not valid JSON/],
  ] as const) {
    it(`is told why, with an empty ${weights}`, async () => {
      const saved = join(work, weights.replaceAll(".", "-"));
      mkdirSync(saved);
      writeFileSync(
        join(saved, "config.json"),
        '{"model_type": "blip", "architectures": ["BlipForQuestionAnswering"]}',
      );
      writeFileSync(join(saved, weights), "");
      await assert.rejects(NeuronBlipForQuestionAnswering.fromPretrained(saved), fails(code, told));
      // It meets the lack of a tokenizer before it reads what is there.
      if (weights === "pytorch_model.bin") await assert.rejects(NeuronBlip.fromPretrained(saved), fails(code, told));
      const advice = new RegExp(
        `give NeuronBlip.fromPretrained the directory ${saved}, .*npx neuron-blip compile ${saved} \\S+-inf2 --target inf2`,
      );
      await assert.rejects(TorchModule.load(saved), fails("ARTIFACT_NOT_FOUND", advice));
      await assert.rejects(NeuronBlip.fromPretrained(join(saved, weights)), fails("ARTIFACT_NOT_FOUND", advice));
    });
  }

  for (const [name, call] of Object.entries({ ...CALLS, ...READERS })) {
    it(`is a typed error where ${name} is given no path`, async () => {
      const values = [undefined, null, 7, Buffer.from(demoModel), {}, [], "", "a\0b", new URL("https://example.org/m")];
      for (const value of values) {
        if ((value ?? undefined) === undefined && name === "the option tokenizer") continue; // not given
        await assert.rejects(call(value as string), fails("INVALID_INPUT"));
      }
    });
  }

  it("is told to TorchScript's readers, who take no name of the Hugging Face Hub, with who takes it", async () => {
    const advice =
      /no file "Salesforce\/blip-vqa-base".*NeuronBlip\.fromPretrained\("Salesforce\/blip-vqa-base"\).*check the path/;
    await assert.rejects(TorchModule.load("Salesforce/blip-vqa-base"), fails("ARTIFACT_NOT_FOUND", advice));
  });

  it("is told of in under a thousand characters, whatever its name", async () => {
    for (const name of [`${"a/".repeat(5000)}b`, "x".repeat(1e6)]) {
      const error = await NeuronBlip.fromPretrained(name).catch((reason) => reason);
      assert.equal(error.code, "ARTIFACT_NOT_FOUND");
      assert(error.message.length <= 1000, `${error.message.length}`);
    }
  });

  it("names the parts that are there where a TorchScript file is wanted", async () => {
    await assert.rejects(
      TorchModule.load(compiledModel),
      fails("ARTIFACT_NOT_FOUND", /is not a file.*text_decoder\.pt/),
    );
  });
});

describe("a model directory", () => {
  it("may be a file: URL", async () => {
    const url = pathToFileURL(demoModel);
    await using blip = await NeuronBlip.fromPretrained(url, { tokenizer: url });
    assert.equal((await blip.answer(join(demo, picture), question)).answer, answer);
    assert.equal((await BertTokenizer.fromPretrained(url)).padTokenId, blip.processor.tokenizer.padTokenId);
    await using model = await NeuronBlipForQuestionAnswering.fromPretrained(url.href);
    assert(model.config.vocabSize > 0);
  });
});
