import { NeuronBlipError } from "../errors.js";
import type { CompiledPart } from "../torch/compiled-part.js";
import { Tensor } from "../torch/tensor.js";
import type { TorchOutput } from "../torch/torch-module.js";
import type { CompiledShapes } from "./compiled-shapes.js";
import type { PartName } from "./heads.js";
import type { LoadedParts } from "./loaded-parts.js";
import { type Manifest, partKey, type TensorSpec } from "./manifest.js";

/** First calls take over a second on some parts, and parts were seen that hang on their second. */
const CALLS = 2;
/** More elements than any input of a part has: a manifest that says so is not believed. */
const MOST_ELEMENTS = 2 ** 28;

/**
 * Runs each part that is on NeuronCores, so that what does not run is told at load, and not by the first callers.
 * @throws NeuronBlipError what a call throws, with which of the first calls it was; `ARTIFACT_MISMATCH`.
 */
export async function warmUpOnNeuron({ parts }: LoadedParts, manifest: Manifest): Promise<void> {
  for (const [name, part] of parts) {
    for (const batchSize of part.batchSizes) {
      const { inputs = [] } = manifest.parts[partKey(name, batchSize, manifest)] ?? {};
      await warmUp(part, inputs);
    }
  }
}

/** Runs the tutorial's three parts in the same way; no manifest describes them. */
export async function warmUpTutorialOnNeuron({ parts }: LoadedParts, shapes: CompiledShapes): Promise<void> {
  const { imageSize, imageTokens, visionHiddenSize, textHiddenSize, questionLength, answerLength } = shapes;
  const ids = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: "int64", shape });
  const values = (name: string, ...shape: number[]): TensorSpec => ({ name, dtype: "float32", shape });
  const specs: Partial<Record<PartName, TensorSpec[]>> = {
    vision_model: [values("pixel_values", 1, 3, imageSize, imageSize)],
    text_encoder: [
      ids("input_ids", 1, questionLength),
      ids("attention_mask", 1, questionLength),
      values("image_embeds", 1, imageTokens, visionHiddenSize),
      ids("image_attention_mask", 1, imageTokens),
    ],
    text_decoder: [
      ids("input_ids", 1, answerLength),
      values("question_embeds", 1, questionLength, textHiddenSize),
      ids("question_attention_mask", 1, questionLength),
      ids("attention_mask", 1, answerLength),
      ids("current_position", 1),
    ],
  };
  for (const [name, part] of parts) await warmUp(part, specs[name] ?? []);
}

async function warmUp(part: CompiledPart, specs: readonly TensorSpec[]): Promise<void> {
  if (!part.modules.some(({ usesNeuron }) => usesNeuron)) return;
  const inputs = specs.map((spec) => exampleOf(part.path, spec));
  try {
    for (let call = 1; call <= CALLS; call++)
      disposeAll(await part.forward(inputs).catch((error) => fail(error, call)));
  } finally {
    for (const input of inputs) input.dispose();
  }
}

function fail(error: unknown, call: number): never {
  if (!(error instanceof NeuronBlipError)) throw error;
  const { code, message, status } = error;
  const what = `Call ${call} of the ${CALLS} that warm a part up failed: ${message}`;
  throw new NeuronBlipError(code, what, { cause: error, status });
}

function exampleOf(path: string, { name, dtype, shape }: TensorSpec): Tensor {
  const elements = shape.reduce((product, size) => product * size, 1);
  if (!(elements > 0 && elements <= MOST_ELEMENTS)) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `neuron_blip.json says that ${name} of "${path}" has the shape [${shape.slice(0, 8).join(", ")}], which no part has. Compile the model again.`,
    );
  }
  // Tokens, and masks that ignore nothing.
  if (dtype === "int64" && name !== "current_position") {
    return Tensor.from(new BigInt64Array(elements).fill(1n), shape);
  }
  return Tensor.zeros(dtype, shape);
}

function disposeAll(output: TorchOutput): void {
  if (output instanceof Tensor) output.dispose();
  else if (typeof output === "object" && output !== null) for (const item of Object.values(output)) disposeAll(item);
}
