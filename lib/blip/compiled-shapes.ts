import { NeuronBlipError } from "../errors.js";
import type { CompiledPart } from "../torch/compiled-part.js";
import { Tensor } from "../torch/tensor.js";
import { tensorFrom } from "../torch/torch-values.js";
import { shown } from "../util/values.js";
import { type BlipConfig, imageTokensOf } from "./blip-config.js";
import { batchSizesOf, type Manifest } from "./manifest.js";

/** The static shapes that every head's parts were compiled for. */
export interface ImageShapes {
  /** The batch sizes, increasing: more rows are run in several batches, fewer are filled up. */
  readonly batchSizes: readonly number[];
  /** Whether any number of rows runs in one batch, whatever batchSizes says: a checkpoint's. */
  readonly dynamicBatch: boolean;
  /** Whether lengths and sizes were fixed by compiling. A checkpoint takes texts of as many tokens as it has positions. */
  readonly isCompiled: boolean;
  /** A picture's height, in pixels, and its width where nothing else is said. */
  readonly imageSize: number;
  /** A picture's width, where a checkpoint was loaded with a `size` that is not square. */
  readonly imageWidth?: number;
  /** Patches of a picture, and the class token. */
  readonly imageTokens: number;
  readonly visionHiddenSize: number;
}

/** Those of question answering. */
export interface CompiledShapes extends ImageShapes {
  readonly textHiddenSize: number;
  /** The most tokens of a question, [CLS] and [SEP] included. */
  readonly questionLength: number;
  /** Whether questions are padded to that length. A part traced on the CPU takes any length, and needs no padding. */
  readonly padsQuestions: boolean;
  /** Tokens of an answer that the decoder can read, its first included. */
  readonly answerLength: number;
}

/**
 * Returns the shapes that the vision model was compiled for.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where manifest and config.json disagree.
 */
export function imageShapes(config: BlipConfig, manifest: Manifest | undefined): ImageShapes {
  if (manifest && manifest.image_size !== config.imageSize) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `neuron_blip.json says pictures of ${manifest.image_size} pixels, and config.json of ${config.imageSize}. Compile again.`,
    );
  }
  return {
    batchSizes: batchSizesOf(manifest),
    dynamicBatch: false,
    isCompiled: true,
    imageSize: config.imageSize,
    imageTokens: imageTokensOf(config),
    visionHiddenSize: config.visionHiddenSize,
  };
}

/** Makes the error of a text with more tokens than a model takes. @param what begins the sentence, such as "A candidate". */
export function tooLong(
  code: "INPUT_TOO_LONG" | "INVALID_INPUT",
  what: string,
  length: number | undefined,
  most: number,
  kind: "question" | "answer",
  { isCompiled }: { isCompiled: boolean },
): NeuronBlipError {
  const has = length === undefined ? `has more than ${most} tokens` : `has ${length} tokens`;
  return new NeuronBlipError(
    code,
    isCompiled
      ? `${what} ${has}, and the model was compiled for ${most}. Shorten it${kind === "question" ? ", truncate it" : ""}, or compile again with ` +
          `${length === undefined ? `a larger --${kind}-length` : `--${kind}-length ${length} or more`}.`
      : `${what} ${has}, and the model has room for ${most}. Shorten it${kind === "question" ? ", or truncate it" : ""}.`,
  );
}

interface Lengths {
  questionLength?: number;
  answerLength?: number;
}

/**
 * Checks the lengths that were given. Tensors of such lengths are made to try them.
 * @throws NeuronBlipError `INVALID_INPUT` where a length was given that is none, or that the model has no positions for.
 */
export function checkGivenLengths(given: Lengths, { maxPositionEmbeddings }: BlipConfig): void {
  for (const name of ["questionLength", "answerLength"] as const) {
    const length = given[name];
    if (length === undefined) continue;
    if (Number.isSafeInteger(length) && length >= 1 && length <= maxPositionEmbeddings) continue;
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} must be a whole number from 1 to ${maxPositionEmbeddings}, since config.json gives the text model as many ` +
        `positions (max_position_embeddings), not ${shown(length)}.`,
    );
  }
}

/** Checks given lengths. @throws NeuronBlipError `INVALID_INPUT` where a length was given that is not the compiled one. */
export function checkLengths(
  given: Lengths,
  compiled: { questionLength?: number | null; answerLength?: number | null },
): void {
  for (const name of ["questionLength", "answerLength"] as const) {
    if (given[name] === undefined || given[name] === compiled[name]) continue;
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} ${shown(given[name])} was given, and the model was compiled for ${compiled[name] ?? "none"}. Leave the option out.`,
    );
  }
}

/**
 * Finds the compiled shapes: as the manifest says, or, for a directory without one (the tutorial's), from config.json and trial.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where no length runs.
 */
export async function findShapes(
  config: BlipConfig,
  manifest: Manifest | undefined,
  modules: { vision_model: CompiledPart; text_encoder: CompiledPart; text_decoder: CompiledPart },
  lengths: Lengths,
): Promise<CompiledShapes> {
  const fixed = { ...imageShapes(config, manifest), textHiddenSize: config.textHiddenSize };
  if (manifest) {
    const { question_length: questionLength, answer_length: answerLength } = manifest;
    checkLengths(lengths, { questionLength, answerLength });
    return { ...fixed, questionLength: questionLength ?? 0, padsQuestions: true, answerLength: answerLength ?? 0 };
  }
  checkGivenLengths(lengths, config);
  await checkImageShape(config, modules.vision_model);
  const question = await trialLength("question", modules.text_encoder, config, lengths.questionLength, (length) => [
    int64([1, length], 1n),
    int64([1, length], 1n),
    Tensor.zeros("float32", [1, fixed.imageTokens, fixed.visionHiddenSize]),
    int64([1, fixed.imageTokens], 1n),
  ]);
  const answer = await trialLength("answer", modules.text_decoder, config, lengths.answerLength, (length) => [
    int64([1, length], 1n),
    Tensor.zeros("float32", [1, question.length, fixed.textHiddenSize]),
    int64([1, question.length], 1n),
    int64([1, length], 1n),
    int64([1], 0n),
  ]);
  const questionLength = question.takesAny ? (lengths.questionLength ?? config.maxPositionEmbeddings) : question.length;
  return { ...fixed, questionLength, padsQuestions: !question.takesAny, answerLength: answer.length };
}

/** Asks the vision model itself, once, whether pictures are as config.json says, before the other parts are tried with that. */
async function checkImageShape(config: BlipConfig, module: CompiledPart): Promise<void> {
  const { imageSize, visionHiddenSize } = config;
  const expected = [1, imageTokensOf(config), visionHiddenSize];
  using pixels = Tensor.zeros("float32", [1, 3, imageSize, imageSize]);
  let found: readonly number[];
  try {
    found = tensorFrom(await module.forward([pixels]), "last_hidden_state", 0, module.path).shape;
  } catch (error) {
    if (!(error instanceof NeuronBlipError) || error.code !== "EXECUTION_FAILED") throw error;
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${module.path}" does not take pictures of ${imageSize} x ${imageSize} pixels, as config.json says (image_size): it is not ` +
        "from this config.json.",
      { cause: error },
    );
  }
  if (found.length === 3 && found.every((size, i) => size === expected[i])) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${module.path}" makes [${found.join(", ")}] of a picture, and by config.json it is [${expected.join(", ")}]: it is not from ` +
      "this config.json.",
  );
}

/** The tutorial's lengths. */
const USUAL = { question: 8, answer: 20 } as const;

/** Finds a length that a part runs with, and whether it runs with the next one as well: then it was traced for any. */
async function trialLength(
  what: "question" | "answer",
  module: CompiledPart,
  config: BlipConfig,
  given: number | undefined,
  inputsOf: (length: number) => Tensor[],
): Promise<{ length: number; takesAny: boolean }> {
  const longest = config.maxPositionEmbeddings;
  const candidates = given === undefined ? [USUAL[what], ...countDown(longest)] : [given];
  for (const length of candidates) {
    if (!(await runs(module, inputsOf(length)))) continue;
    const neighbour = length < longest ? length + 1 : length - 1;
    return { length, takesAny: await runs(module, inputsOf(neighbour)) };
  }
  const tried = given ?? `from 1 to ${longest}`;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `No ${what} length ${tried} runs through "${module.path}": it was not traced as the tutorial does it, with another ` +
      `${what}Length, or not from this config.json.`,
  );
}

function countDown(from: number): number[] {
  return Array.from({ length: from }, (_, i) => from - i);
}

async function runs(module: CompiledPart, inputs: Tensor[]): Promise<boolean> {
  try {
    await module.forward(inputs);
    return true;
  } catch (error) {
    if (error instanceof NeuronBlipError && (error.code === "EXECUTION_FAILED" || isOfInputs(error.status)))
      return false;
    throw error;
  }
}

/** Tells whether a status is NRT_INVALID or NRT_EXEC_BAD_INPUT: inputs that do not fit. */
function isOfInputs(status: number | undefined): boolean {
  return status === 2 || status === 1002;
}

function int64(shape: number[], value: bigint): Tensor<"int64"> {
  const tensor = Tensor.zeros("int64", shape);
  tensor.data.fill(value);
  return tensor;
}
