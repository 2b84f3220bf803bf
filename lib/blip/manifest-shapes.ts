/** Checks whether what neuron_blip.json says of the compiled graphs fits config.json, before anything is made by either. */
import { NeuronBlipError } from "../errors.js";
import { type BlipConfig, imageTokensOf } from "./blip-config.js";
import type { Manifest, PartSpec, TensorSpec } from "./manifest.js";

/** A dimension by its place; a negative one is counted from the end. */
type Dimensions = readonly (readonly [at: number, size: number, what: string])[];

/**
 * Checks the shapes of the parts.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the parts' shapes are not the configuration's.
 */
export function checkManifestShapes(manifest: Manifest, config: BlipConfig): void {
  const { question_length: question, answer_length: answer } = manifest;
  for (const [name, length] of [
    ["question_length", question],
    ["answer_length", answer],
  ] as const) {
    if (length === null || length <= config.maxPositionEmbeddings) continue;
    throw mismatch(
      `says ${name} ${length}`,
      `the text model has positions for ${config.maxPositionEmbeddings} tokens (max_position_embeddings)`,
    );
  }
  const expected = dimensionsOf(config, question);
  for (const part of Object.values(manifest.parts)) {
    for (const tensor of [...part.inputs, ...part.outputs]) checkTensor(part, tensor, expected);
  }
}

/** Returns the dimensions that config.json decides, by the tensor's name. */
function dimensionsOf(config: BlipConfig, question: number | null): Readonly<Record<string, Dimensions>> {
  const tokens = imageTokensOf(config);
  const image = `image_size ${config.imageSize} in patches of ${config.patchSize}`;
  const vision = `the vision model's hidden_size`;
  const text = `the text model's hidden_size`;
  const picture: Dimensions = [
    [1, tokens, image],
    [2, config.visionHiddenSize, vision],
  ];
  return {
    pixel_values: [
      [1, 3, "red, green and blue"],
      [2, config.imageSize, "image_size"],
      [3, config.imageSize, "image_size"],
    ],
    last_hidden_state: picture,
    image_embeds: picture,
    image_attention_mask: [[1, tokens, image]],
    question_embeds: [[-1, config.textHiddenSize, text], ...one(1, question, "question_length")],
    question_attention_mask: one(1, question, "question_length"),
    logits: [[-1, config.vocabSize, "vocab_size"]],
  };
}

function one(at: number, size: number | null, what: string): Dimensions {
  return size === null ? [] : [[at, size, what]];
}

function checkTensor(
  { file }: PartSpec,
  { name, shape }: TensorSpec,
  expected: Readonly<Record<string, Dimensions>>,
): void {
  const dimensions = (Object.hasOwn(expected, name) ? expected[name] : undefined) ?? [];
  for (const [at, size, what] of dimensions) {
    if (shape.length === 0) return; // which is missing, who uses it says
    if (shape.at(at) === size) continue;
    throw mismatch(`says that ${file} has ${name} of [${shape.join(", ")}]`, `${what} is ${size}`);
  }
}

function mismatch(manifest: string, config: string): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `neuron_blip.json ${manifest}, and by config.json ${config}: the files are of different models. Copy the directory again, ` +
      "or compile the model again.",
  );
}
