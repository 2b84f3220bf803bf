import { join } from "node:path";
import { readGenerationDefaults } from "../../../blip/generation-defaults.js";
import { HEADS } from "../../../blip/heads.js";
import { type PartSpec, verifyPart } from "../../../blip/manifest.js";
import { readWeights } from "../../../blip/parts/checkpoint/weight-files.js";
import { messageOf } from "../../../errors.js";
import { isObject } from "../../../util/json-file.js";
import type { Probe } from "../examination.js";
import { type Finding, ok, problem, skipped } from "../finding.js";
import { inWords } from "../sizes.js";
import { asProblem } from "./as-problem.js";

/** config.json: is it a BLIP that this package runs? */
export const modelConfig: Probe = {
  id: "model.config",
  ofModel: true,
  async run(examination) {
    const model = await examination.model();
    if (model?.config.value === undefined) {
      return asProblem("model.config", model?.config.failure ?? "", "Download or compile the model again.");
    }
    const { architecture, imageSize } = model.config.value;
    const details = { directory: model.directory, architecture, imageSize, bytes: model.bytes };
    return ok(
      "model.config",
      `${architecture}, pictures of ${imageSize} x ${imageSize}, ${inWords(model.bytes)} of ${model.isCheckpoint ? "weights" : "parts"}.`,
      details,
    );
  },
};

/** neuron_blip.json. */
export const modelManifest: Probe = {
  id: "model.manifest",
  ofModel: true,
  async run(examination) {
    const id = "model.manifest";
    const model = await examination.model();
    if (model?.config.value === undefined) return skipped(id, "Not looked at: there is no config.json to go by.");
    const { value, failure } = model.manifest;
    if (failure !== undefined) return asProblem(id, failure, "Compile the model again.");
    if (model.isCheckpoint) return ok(id, "A checkpoint, which runs on the CPU as it is, and has no manifest.");
    if (value === undefined) {
      return ok(
        id,
        "No neuron_blip.json, as the tutorial leaves it: files cannot be compared, lengths are found by trial.",
      );
    }
    const { batch_size: batchSize, question_length: questionLength, answer_length: answerLength } = value;
    const lengths = [
      questionLength === null ? "" : `, texts of up to ${questionLength} tokens`,
      answerLength === null ? "" : `, answers of up to ${answerLength}`,
    ].join("");
    const details = { batchSize, questionLength, answerLength };
    const rows = `${batchSize} ${batchSize === 1 ? "row" : "rows"}`;
    return ok(id, `Compiled for ${rows} at a time${lengths}.`, details);
  },
};

/** Every file that the manifest names, by its size and SHA-256. */
export const modelFiles: Probe = {
  id: "model.files",
  ofModel: true,
  async run(examination) {
    const id = "model.files";
    const model = await examination.model();
    const config = model?.config.value;
    if (model === undefined || config === undefined)
      return skipped(id, "Not looked at: there is no config.json to go by.");
    if (model.isCheckpoint) {
      try {
        const { weights } = await readWeights(model.directory, config.architecture);
        return ok(id, `The ${weights.size} weights that config.json calls for are there, each of its shape.`);
      } catch (error) {
        return asProblem(id, messageOf(error), "Download or copy the model again.");
      }
    }
    const manifest = model.manifest.value;
    if (manifest === undefined) {
      const missing = HEADS[config.architecture].parts.filter(
        (name) => !model.parts.some(({ file }) => file === `${name}.pt`),
      );
      if (missing.length > 0) {
        return problem(
          id,
          `${missing.map((name) => `${name}.pt`).join(", ")} missing.`,
          "Copy the directory again, or compile the model again.",
        );
      }
      return skipped(id, "The parts are there; without a manifest they cannot be compared.");
    }
    const findings: Finding[] = [];
    const { reference } = model.json;
    const files: PartSpec[] = Object.values(manifest.parts);
    for (const file of files) findings.push(...(await verify(id, model.directory, file)));
    if (isObject(reference)) findings.push(...(await verify(id, model.directory, reference as unknown as PartSpec)));
    if (findings.length > 0) return findings;
    return ok(id, `${files.length + (reference ? 1 : 0)} files are those of the manifest, by their SHA-256.`);
  },
};

async function verify(id: string, directory: string, file: PartSpec): Promise<Finding[]> {
  try {
    await verifyPart(directory, file);
    return [];
  } catch (error) {
    return [
      asProblem(id, messageOf(error), "Copy the directory again, or compile the model again.", { file: file.file }),
    ];
  }
}

/** What is read besides the parts: the tokenizer's files, preprocessor_config.json, generation_config.json. */
export const modelSettings: Probe = {
  id: "model.settings",
  ofModel: true,
  async run(examination) {
    const { directory = "", tokenizer } = examination.options;
    const model = await examination.model();
    if (model?.config.value === undefined)
      return skipped("model.settings", "Not looked at: there is no config.json to go by.");
    const { architecture, vocabSize } = model.config.value;
    const readers: [string, () => Promise<unknown>][] = [
      [
        "model.tokenizer",
        async () =>
          (await import("../../../processing/bert-tokenizer.js")).BertTokenizer.fromPretrained(tokenizer ?? directory),
      ],
      [
        "model.pictures",
        async () =>
          (await import("../../../processing/blip-image-processor.js")).BlipImageProcessor.fromPretrained(directory),
      ],
    ];
    if (architecture !== "BlipForImageTextRetrieval") {
      readers.push([
        "model.generation",
        () => readGenerationDefaults(join(directory, "generation_config.json"), vocabSize),
      ]);
    }
    const findings: Finding[] = [];
    for (const [id, read] of readers) {
      try {
        await read();
        findings.push(ok(id, "Its files can be read."));
      } catch (error) {
        findings.push(asProblem(id, messageOf(error), "Copy the file from the model that this was compiled from."));
      }
    }
    return findings;
  },
};
