/** A checkpoint's weights: which there must be, by config.json, and whether the files hold them. */
import { NeuronBlipError } from "../../../errors.js";
import type { Dtype } from "../../../torch/tensor.js";
import { shorten } from "../../../util/values.js";
import type { Architecture } from "../../heads.js";
import type { CheckpointConfig, TransformerConfig } from "./checkpoint-config.js";

/** A tensor in a file. */
export interface StoredTensor {
  readonly file: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Of its first byte in the file. */
  readonly offset: number;
}

/** The text models of each architecture, by what their weights' names begin with. */
export const TEXT_MODELS: Readonly<Record<Architecture, readonly ("text_encoder" | "text_decoder.bert")[]>> = {
  BlipForQuestionAnswering: ["text_encoder", "text_decoder.bert"],
  BlipForConditionalGeneration: ["text_decoder.bert"],
  BlipForImageTextRetrieval: ["text_encoder"],
};

/** Where one of two may stand for both. */
const TIED: readonly (readonly [string, string])[] = [
  ["text_decoder.cls.predictions.decoder.weight", "text_decoder.bert.embeddings.word_embeddings.weight"],
  ["text_decoder.cls.predictions.decoder.bias", "text_decoder.cls.predictions.bias"],
];

const READABLE: readonly Dtype[] = ["float32", "float16", "bfloat16", "float64"];

/** The names of a list that a message has room for. */
const NAMES_SHOWN = 5;

/** Returns the shapes of all weights, by their names in transformers. */
export function expectedWeights(architecture: Architecture, config: CheckpointConfig): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const { vision, text } = config;
  const linear = (name: string, inputs: number, outputs: number) => {
    shapes.set(`${name}.weight`, [outputs, inputs]);
    shapes.set(`${name}.bias`, [outputs]);
  };
  const norm = (name: string, { hiddenSize }: TransformerConfig) => {
    shapes.set(`${name}.weight`, [hiddenSize]);
    shapes.set(`${name}.bias`, [hiddenSize]);
  };
  const embeddings = "vision_model.embeddings";
  const { hiddenSize: width, patchSize } = vision;
  shapes.set(`${embeddings}.class_embedding`, [1, 1, width]);
  shapes.set(`${embeddings}.position_embedding`, [1, Math.floor(vision.imageSize / patchSize) ** 2 + 1, width]);
  shapes.set(`${embeddings}.patch_embedding.weight`, [width, 3, patchSize, patchSize]);
  shapes.set(`${embeddings}.patch_embedding.bias`, [width]);
  for (let i = 0; i < vision.layers; i++) {
    const layer = `vision_model.encoder.layers.${i}`;
    norm(`${layer}.layer_norm1`, vision);
    linear(`${layer}.self_attn.qkv`, width, 3 * width);
    linear(`${layer}.self_attn.projection`, width, width);
    norm(`${layer}.layer_norm2`, vision);
    linear(`${layer}.mlp.fc1`, width, vision.intermediateSize);
    linear(`${layer}.mlp.fc2`, vision.intermediateSize, width);
  }
  norm("vision_model.post_layernorm", vision);
  for (const model of TEXT_MODELS[architecture]) textWeights(model);
  if (architecture === "BlipForImageTextRetrieval") {
    linear("vision_proj", width, config.imageTextHiddenSize);
    linear("text_proj", text.hiddenSize, config.imageTextHiddenSize);
    linear("itm_head", text.hiddenSize, 2);
  }
  return shapes;

  function textWeights(model: string): void {
    shapes.set(`${model}.embeddings.word_embeddings.weight`, [text.vocabSize, text.hiddenSize]);
    shapes.set(`${model}.embeddings.position_embeddings.weight`, [text.maxPositionEmbeddings, text.hiddenSize]);
    norm(`${model}.embeddings.LayerNorm`, text);
    for (let i = 0; i < text.layers; i++) {
      const layer = `${model}.encoder.layer.${i}`;
      for (const [attention, seen] of [
        ["attention", text.hiddenSize],
        ["crossattention", width],
      ] as const) {
        linear(`${layer}.${attention}.self.query`, text.hiddenSize, text.hiddenSize);
        linear(`${layer}.${attention}.self.key`, seen, text.hiddenSize);
        linear(`${layer}.${attention}.self.value`, seen, text.hiddenSize);
        linear(`${layer}.${attention}.output.dense`, text.hiddenSize, text.hiddenSize);
        norm(`${layer}.${attention}.output.LayerNorm`, text);
      }
      linear(`${layer}.intermediate.dense`, text.hiddenSize, text.intermediateSize);
      linear(`${layer}.output.dense`, text.intermediateSize, text.hiddenSize);
      norm(`${layer}.output.LayerNorm`, text);
    }
    if (model !== "text_decoder.bert") return;
    linear("text_decoder.cls.predictions.transform.dense", text.hiddenSize, text.hiddenSize);
    norm("text_decoder.cls.predictions.transform.LayerNorm", text);
    linear("text_decoder.cls.predictions.decoder", text.hiddenSize, text.vocabSize);
  }
}

/**
 * Finds each expected weight among the stored ones; a head's weight that is not there is the word embeddings', and the other way
 * round. What is stored besides is told of in one process warning.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where weights are missing, or of other shapes than config.json says, or of a dtype
 * that no BLIP has.
 */
export function findWeights(
  directory: string,
  expected: ReadonlyMap<string, readonly number[]>,
  stored: ReadonlyMap<string, StoredTensor>,
  tieWordEmbeddings: boolean,
): Map<string, StoredTensor> {
  const found = new Map<string, StoredTensor>();
  const missing: string[] = [];
  for (const [name, shape] of expected) {
    const tensor = stored.get(name) ?? (tieWordEmbeddings ? stored.get(twinOf(name)) : undefined);
    if (tensor === undefined) missing.push(name);
    else found.set(name, checked(directory, name, tensor, shape));
  }
  if (missing.length > 0) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}" lacks ${missing.length} of the ${expected.size} weights that its config.json calls for: ${listOf(missing)}. ` +
        "Take config.json and weights from one model, and all of its files.",
    );
  }
  const known = new Set(TIED.flat());
  const extra = [...stored.keys()].filter(
    // Older transformers saved the numbers of positions.
    (name) => !expected.has(name) && !known.has(name) && !name.endsWith(".position_ids"),
  );
  if (extra.length > 0) {
    process.emitWarning(
      `"${directory}" holds ${extra.length} weights that are not used, since config.json does not call for them: ${listOf(extra)}.`,
      { type: "NeuronBlipWarning", code: "NEURON_BLIP_EXTRA_WEIGHTS" },
    );
  }
  return found;
}

function twinOf(name: string): string {
  for (const [one, other] of TIED) {
    if (name === one) return other;
    if (name === other) return one;
  }
  return "";
}

function checked(directory: string, name: string, tensor: StoredTensor, shape: readonly number[]): StoredTensor {
  if (JSON.stringify(tensor.shape) !== JSON.stringify(shape)) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}": ${shorten(name, 120)} is [${tensor.shape.slice(0, 8).join(", ")}] in "${shorten(tensor.file, 120)}", and by config.json ` +
        `it is [${shape.join(", ")}]. Take config.json and weights from one model.`,
    );
  }
  if (READABLE.includes(tensor.dtype)) return tensor;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${directory}": ${shorten(name, 120)} is ${tensor.dtype}, and weights must be ${READABLE.join(", ")}. Give the checkpoint ` +
      "before it was quantised.",
  );
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).map((name) => shorten(name, 100));
  return `${shown.join(", ")}${names.length > NAMES_SHOWN ? ", …" : ""}`;
}
