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
import { demo, demoModel, demoQuestions, fails } from "./helpers.js";

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

describe("a model that is not compiled", () => {
  let work = "";

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-not-compiled-"));
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  for (const weights of ["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"]) {
    it(`gets the command that compiles it, with ${weights}`, async () => {
      const saved = join(work, weights.replaceAll(".", "-"));
      mkdirSync(saved);
      writeFileSync(
        join(saved, "config.json"),
        '{"model_type": "blip", "architectures": ["BlipForQuestionAnswering"]}',
      );
      writeFileSync(join(saved, weights), "");
      const advice = new RegExp(
        `save_pretrained.*npx neuron-blip compile ${saved} \\S+-cpu --target cpu.*--target inf2`,
      );
      for (const call of [
        ...Object.values(CALLS),
        READERS["TorchModule.load"] as (model: string) => Promise<unknown>,
      ]) {
        await assert.rejects(call(saved), fails("ARTIFACT_NOT_FOUND", advice));
      }
      await assert.rejects(NeuronBlip.fromPretrained(join(saved, weights)), fails("ARTIFACT_NOT_FOUND", /compile/));
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
    await assert.rejects(TorchModule.load(demoModel), fails("ARTIFACT_NOT_FOUND", /is not a file.*text_decoder\.pt/));
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
