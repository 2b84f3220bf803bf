/** Probes of a model directory's files, by what loads them. */
import { join } from "node:path";
import { readGenerationDefaults } from "../../../blip/generation-defaults.js";
import { HEADS } from "../../../blip/heads.js";
import { verifyFile } from "../../../blip/manifest.js";
import { readWeights } from "../../../blip/parts/checkpoint/weight-files.js";
import { messageOf } from "../../../errors.js";
import type { DoctorId } from "../../report/findings.js";
import { counted, inBytes } from "../../report/words.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";

const NO_CONFIG = "Not looked at: there is no config.json to go by.";
const COPY_AGAIN = "Copy the directory again, or compile the model again.";

/** Checks config.json: is it a BLIP that this package runs? */
export async function modelConfig(examination: Examination): Promise<Finding> {
  const model = await examination.model();
  if (model?.config.value === undefined) {
    return about("model.config").error(model?.config.failure ?? "", "Download or compile the model again.");
  }
  const { directory, bytes, isCheckpoint } = model;
  const { architecture, imageSize } = model.config.value;
  return about("model.config", { directory, architecture, imageSize, bytes }).ok(
    `${architecture}, pictures of ${imageSize} x ${imageSize}, ${inBytes(bytes)} of ${isCheckpoint ? "weights" : "parts"}.`,
  );
}

/** Checks neuron_blip.json. */
export async function modelManifest(examination: Examination): Promise<Finding> {
  const { ok, skipped, error } = about("model.manifest");
  const model = await examination.model();
  if (model?.config.value === undefined) return skipped(NO_CONFIG);
  const { value, failure } = model.manifest;
  if (failure !== undefined) return error(failure, "Compile the model again.");
  if (model.isCheckpoint) return ok("A checkpoint, which runs on the CPU as it is, and has no manifest.");
  if (value === undefined) {
    return ok("No neuron_blip.json, as the tutorial leaves it: files cannot be compared, lengths are found by trial.");
  }
  const { batch_size: batchSize, question_length: questionLength, answer_length: answerLength } = value;
  const texts = questionLength === null ? "" : `, texts of up to ${questionLength} tokens`;
  const answers = answerLength === null ? "" : `, answers of up to ${answerLength}`;
  const details = { batchSize, questionLength, answerLength };
  return about("model.manifest", details).ok(`Compiled for ${counted(batchSize, "row")} at a time${texts}${answers}.`);
}

/** Checks every file that the manifest names, by its size and SHA-256; a checkpoint's weights by their shapes. */
export async function modelFiles(examination: Examination): Promise<Finding | Finding[]> {
  const { ok, skipped, problem, error } = about("model.files");
  const model = await examination.model();
  const config = model?.config.value;
  if (model === undefined || config === undefined) return skipped(NO_CONFIG);
  const { directory } = model;
  if (model.isCheckpoint) {
    try {
      const { weights } = await readWeights(directory, config.architecture);
      return ok(`The ${weights.size} weights that config.json calls for are there, each of its shape.`);
    } catch (cause) {
      return error(messageOf(cause), "Download or copy the model again.");
    }
  }
  const manifest = model.manifest.value;
  if (manifest === undefined) {
    const files = HEADS[config.architecture].parts.map((name) => `${name}.pt`);
    const missing = files.filter((file) => !model.parts.includes(file));
    if (missing.length > 0) return problem(`${missing.join(", ")} missing.`, COPY_AGAIN);
    return skipped("The parts are there; without a manifest they cannot be compared.");
  }
  const findings: Finding[] = [];
  const files = [...Object.values(manifest.parts), ...(manifest.reference ? [manifest.reference] : [])];
  for (const file of files) {
    const fail = (cause: unknown) => about("model.files", { file: file.file }).error(messageOf(cause), COPY_AGAIN);
    await verifyFile(directory, file).catch((cause) => findings.push(fail(cause)));
  }
  return findings.length > 0 ? findings : ok(`${files.length} files are those of the manifest, by their SHA-256.`);
}

/** Checks what is read besides the parts: the tokenizer's files, preprocessor_config.json, generation_config.json. */
export async function modelSettings(examination: Examination): Promise<Finding | Finding[]> {
  const { directory = "", tokenizer = directory } = examination.options;
  const config = (await examination.model())?.config.value;
  if (config === undefined) return about("model.settings").skipped(NO_CONFIG);
  const readers: [DoctorId, () => Promise<unknown>][] = [
    [
      "model.tokenizer",
      async () => (await import("../../../processing/bert-tokenizer.js")).BertTokenizer.fromPretrained(tokenizer),
    ],
    [
      "model.pictures",
      async () =>
        (await import("../../../processing/blip-image-processor.js")).BlipImageProcessor.fromPretrained(directory),
    ],
    ["model.generation", () => readGenerationDefaults(join(directory, "generation_config.json"), config.vocabSize)],
  ];
  // A retrieval model generates nothing.
  const read = config.architecture === "BlipForImageTextRetrieval" ? readers.slice(0, 2) : readers;
  return Promise.all(
    read.map(async ([id, readFiles]) => {
      const { ok, error } = about(id);
      const cure = "Copy the file from the model that this was compiled from.";
      return readFiles().then(
        () => ok("Its files can be read."),
        (cause) => error(messageOf(cause), cure),
      );
    }),
  );
}
