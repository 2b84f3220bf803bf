import { join } from "node:path";
import { NeuronBlipError } from "../../../errors.js";
import { type JsonObject, readJsonIfThere } from "../../../util/json-file.js";
import { shown } from "../../../util/values.js";
import { sectionOf, sizeIn } from "../../blip-config.js";

/** The dtypes that keys and values have: bfloat16 where the text models calculate in it. */
export type KeysValuesDtype = "float32" | "bfloat16";

/** One of BLIP's two transformers, as its section of config.json describes it. */
export interface TransformerConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly layerNormEps: number;
}

/** What a checkpoint's weights must be like, with transformers' defaults for what config.json leaves out. */
export interface CheckpointConfig {
  readonly vision: TransformerConfig & { readonly imageSize: number; readonly patchSize: number };
  readonly text: TransformerConfig & {
    readonly vocabSize: number;
    readonly maxPositionEmbeddings: number;
    /** Whether the decoder's head may have the word embeddings' weight. */
    readonly tieWordEmbeddings: boolean;
  };
  /** Of the space that pictures and texts share, of a retrieval model. */
  readonly imageTextHiddenSize: number;
}

/**
 * Reads a checkpoint's config.json.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for an activation that is not BLIP's.
 */
export async function readCheckpointConfig(directory: string): Promise<CheckpointConfig> {
  const path = join(directory, "config.json");
  const json = (await readJsonIfThere(path)) ?? {};
  const vision = sectionOf(json, "vision_config", path);
  const text = sectionOf(json, "text_config", path);
  return {
    vision: {
      ...transformer(path, "vision_config", vision, { heads: 12, eps: 1e-5 }),
      imageSize: sizeIn(path, vision, "image_size", 384),
      patchSize: sizeIn(path, vision, "patch_size", 16),
    },
    text: {
      // 8 heads is transformers' default, and not what the published models have: they say so.
      ...transformer(path, "text_config", text, { heads: 8, eps: 1e-12 }),
      vocabSize: sizeIn(path, text, "vocab_size", 30524),
      maxPositionEmbeddings: sizeIn(path, text, "max_position_embeddings", 512),
      tieWordEmbeddings: json.tie_word_embeddings !== false || text.tie_word_embeddings !== false,
    },
    imageTextHiddenSize: sizeIn(path, json, "image_text_hidden_size", 256),
  };
}

function transformer(
  path: string,
  section: string,
  json: JsonObject,
  defaults: { heads: number; eps: number },
): TransformerConfig {
  const config = {
    hiddenSize: sizeIn(path, json, "hidden_size", 768),
    intermediateSize: sizeIn(path, json, "intermediate_size", 3072),
    layers: sizeIn(path, json, "num_hidden_layers", 12),
    heads: sizeIn(path, json, "num_attention_heads", defaults.heads),
    layerNormEps: json.layer_norm_eps ?? defaults.eps,
  };
  const { hiddenSize, heads, layerNormEps } = config;
  if (typeof layerNormEps !== "number" || !(layerNormEps >= 0 && layerNormEps < 1)) {
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}": layer_norm_eps of ${section} must be a number from 0 to 1, not ${shown(layerNormEps)}.`,
    );
  }
  if (hiddenSize % heads !== 0) {
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}": hidden_size of ${section}, ${hiddenSize}, must be a multiple of num_attention_heads, ${heads}.`,
    );
  }
  const activation = json.hidden_act ?? "gelu";
  if (activation !== "gelu") {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${path}": hidden_act of ${section} is ${shown(activation)}, and BLIP's is "gelu", which this package runs.`,
    );
  }
  return { ...config, layerNormEps };
}
