import { NeuronBlipError } from "../../../errors.js";
import type { PictureSize } from "../../../processing/picture-geometry.js";
import { Executor } from "../../../torch/executor.js";
import { isWhole, shown } from "../../../util/values.js";
import type { BlipConfig } from "../../blip-config.js";
import { type CompiledShapes, checkGivenLengths } from "../../compiled-shapes.js";
import { Checkpoint, type CheckpointDtype, LoadedCheckpoint } from "./checkpoint.js";

/** How a checkpoint is loaded, on the CPU. */
export interface CheckpointLoadOptions {
  /**
   * The number type of the weights while they run. "float32" (default): the model's own answers. "bfloat16": half the memory of the
   * text models' and, where the CPU calculates in it, all weights, at half the time or less there; "int8": a quarter of the
   * layers' linears, and the fastest. Both round, which may change an answer.
   */
  dtype?: CheckpointDtype;
  /**
   * Take pictures of another size than the checkpoint was trained with, by interpolating its position embeddings, as transformers'
   * `interpolate_pos_encoding`. Default false.
   */
  interpolatePosEncoding?: boolean;
  /** Height and width of the pictures that the model then takes, in pixels, or one number for both. Needs `interpolatePosEncoding`. */
  size?: number | PictureSize;
  /** How many cores of the CPU the replica may use. Default: libtorch's own choice. */
  threads?: number;
  /**
   * The longest question. Default: of a checkpoint as many tokens as it has positions; of a compiled directory with a manifest what
   * that says, and of one without found by trial.
   */
  questionLength?: number;
  /** The most tokens of an answer that the decoder reads. Default: as for `questionLength`. */
  answerLength?: number;
}

/** Of a picture's edge: four times what the largest BLIP has, and 10 GB of memory. */
const MOST_PIXELS = 2048;

const DTYPES: readonly unknown[] = ["float32", "bfloat16", "int8"] satisfies CheckpointDtype[];

/** Checks a dtype. @throws NeuronBlipError `INVALID_INPUT` for one that there is not. */
export function checkDtype(dtype: unknown): void {
  if (dtype === undefined || DTYPES.includes(dtype)) return;
  throw new NeuronBlipError("INVALID_INPUT", `dtype must be ${DTYPES.join(", ")}, not ${shown(dtype)}.`);
}

/**
 * Loads a checkpoint, `config.json` and `model.safetensors`, for so many replicas, which share its weights.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `INVALID_INPUT`, `ABORTED`, or why the addon
 * does not load.
 */
export async function loadCheckpoint(
  directory: string,
  config: BlipConfig,
  replicas: number,
  options: CheckpointLoadOptions & { signal?: AbortSignal },
): Promise<LoadedCheckpoint[]> {
  const { dtype, threads, interpolatePosEncoding = false, signal } = options;
  checkDtype(dtype);
  checkGivenLengths(options, config);
  const shapes = shapesOf(config, options);
  const newExecutor = () => new Executor(threads === undefined ? {} : { threads });
  const executor = newExecutor();
  const executors = [executor, ...Array.from({ length: replicas - 1 }, newExecutor)];
  let checkpoint: Checkpoint | undefined;
  try {
    const loaded = await Checkpoint.load(directory, config.architecture, {
      dtype,
      executor,
      imageTokens: shapes.imageTokens,
      signal,
    });
    checkpoint = loaded;
    // What laying the weights out has used and freed.
    await executor.returnFreedMemory();
    let users = replicas;
    const release = async () => {
      if (--users === 0) await loaded.dispose();
    };
    return executors.map(
      (executor) =>
        new LoadedCheckpoint(loaded, executor, { config, shapes, interpolates: interpolatePosEncoding, release }),
    );
  } catch (error) {
    await checkpoint?.dispose();
    await Promise.all(executors.map((executor) => executor.close()));
    throw error;
  }
}

/**
 * Returns the size of the pictures that a checkpoint takes.
 * @throws NeuronBlipError `INVALID_INPUT` for one that is none, or another than the checkpoint's without `interpolatePosEncoding`.
 */
export function pictureSizeOf(
  config: BlipConfig,
  { size, interpolatePosEncoding }: Pick<CheckpointLoadOptions, "size" | "interpolatePosEncoding">,
): PictureSize {
  const { imageSize, patchSize } = config;
  if (interpolatePosEncoding !== undefined && typeof interpolatePosEncoding !== "boolean") {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `interpolatePosEncoding must be true or false, not ${shown(interpolatePosEncoding)}.`,
    );
  }
  if (size === undefined) return { height: imageSize, width: imageSize };
  const { height, width } = typeof size === "number" ? { height: size, width: size } : (size ?? {});
  for (const edge of [height, width]) {
    if (isWhole(edge, patchSize, MOST_PIXELS)) continue;
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `size must be a whole number of pixels from ${patchSize} to ${MOST_PIXELS}, or { height, width } of such, not ${shown(size)}.`,
    );
  }
  if (interpolatePosEncoding || (height === imageSize && width === imageSize)) return { height, width };
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `size ${width} x ${height} is not the ${imageSize} x ${imageSize} pixels that this model was trained with (image_size of ` +
      "config.json): give interpolatePosEncoding: true with it.",
  );
}

function shapesOf(config: BlipConfig, options: CheckpointLoadOptions): CompiledShapes {
  const { questionLength, answerLength } = options;
  const { patchSize, visionHiddenSize, textHiddenSize, maxPositionEmbeddings } = config;
  const { height, width } = pictureSizeOf(config, options);
  return {
    batchSizes: [1],
    dynamicBatch: true,
    isCompiled: false,
    imageSize: height,
    imageWidth: width,
    imageTokens: Math.floor(height / patchSize) * Math.floor(width / patchSize) + 1,
    visionHiddenSize,
    textHiddenSize,
    questionLength: questionLength ?? maxPositionEmbeddings,
    padsQuestions: false,
    answerLength: answerLength ?? maxPositionEmbeddings,
  };
}
