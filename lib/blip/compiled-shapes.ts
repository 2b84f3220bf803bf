import { NeuronBlipError } from "../errors.js";
import type { Manifest } from "../runtime/manifest.js";
import type { TorchModule } from "../runtime/torch-module.js";
import { Tensor } from "../tensor.js";
import { type BlipConfig, imageTokensOf } from "./blip-config.js";

/** The static shapes that the parts were compiled for. */
export interface CompiledShapes {
  readonly batchSize: number;
  /** Height and width of a picture, in pixels. */
  readonly imageSize: number;
  /** Patches of a picture, and the class token. */
  readonly imageTokens: number;
  readonly visionHiddenSize: number;
  readonly textHiddenSize: number;
  /** Tokens of a question, [CLS] and [SEP] included. */
  readonly questionLength: number;
  /** Tokens of an answer that the decoder can read, its first included. */
  readonly answerLength: number;
}

interface Lengths {
  questionLength?: number;
  answerLength?: number;
}

/**
 * The compiled shapes: as the manifest says, or, for a directory without one (the tutorial's), from config.json and trial.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where no length runs.
 */
export async function findShapes(
  config: BlipConfig,
  manifest: Manifest | undefined,
  modules: { text_encoder: TorchModule; text_decoder: TorchModule },
  lengths: Lengths,
): Promise<CompiledShapes> {
  const common = {
    imageTokens: imageTokensOf(config),
    visionHiddenSize: config.visionHiddenSize,
    textHiddenSize: config.textHiddenSize,
  };
  if (manifest) {
    if (manifest.image_size !== config.imageSize) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `neuron_blip.json says pictures of ${manifest.image_size} pixels, and config.json of ${config.imageSize}. Compile again.`,
      );
    }
    return {
      ...common,
      imageSize: manifest.image_size,
      batchSize: manifest.batch_size,
      questionLength: manifest.question_length,
      answerLength: manifest.answer_length,
    };
  }
  const fixed = { ...common, imageSize: config.imageSize, batchSize: 1 };
  const questionLength =
    lengths.questionLength ??
    (await longestThatRuns("question", modules.text_encoder, config, (length) => [
      int64([1, length], 1n),
      int64([1, length], 1n),
      Tensor.zeros("float32", [1, fixed.imageTokens, fixed.visionHiddenSize]),
      int64([1, fixed.imageTokens], 1n),
    ]));
  const answerLength =
    lengths.answerLength ??
    (await longestThatRuns("answer", modules.text_decoder, config, (length) => [
      int64([1, length], 1n),
      Tensor.zeros("float32", [1, questionLength, fixed.textHiddenSize]),
      int64([1, questionLength], 1n),
      int64([1, length], 1n),
      int64([1], 0n),
    ]));
  return { ...fixed, questionLength, answerLength };
}

/** The length that a part without a manifest runs with. */
async function longestThatRuns(
  what: "question" | "answer",
  module: TorchModule,
  config: BlipConfig,
  inputsOf: (length: number) => Tensor[],
): Promise<number> {
  const usual = what === "question" ? 8 : 20;
  const candidates = [
    usual,
    ...Array.from({ length: config.maxPositionEmbeddings }, (_, i) => config.maxPositionEmbeddings - i),
  ];
  for (const length of candidates) {
    if (await runs(module, inputsOf(length))) return length;
  }
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `No ${what} length from 1 to ${config.maxPositionEmbeddings} runs through "${module.path}": it was not traced as the ` +
      "tutorial does it, or not from this config.json.",
  );
}

async function runs(module: TorchModule, inputs: Tensor[]): Promise<boolean> {
  try {
    await module.forward(inputs);
    return true;
  } catch (error) {
    if (error instanceof NeuronBlipError && error.code === "EXECUTION_FAILED") return false;
    throw error;
  }
}

function int64(shape: number[], value: bigint): Tensor<"int64"> {
  const tensor = Tensor.zeros("int64", shape);
  tensor.data.fill(value);
  return tensor;
}
