import { readBlipConfig } from "../../../blip/blip-config.js";
import { NeuronBlipForConditionalGeneration } from "../../../blip/neuron-blip-for-conditional-generation.js";
import { NeuronBlipForImageTextRetrieval } from "../../../blip/neuron-blip-for-image-text-retrieval.js";
import { NeuronBlipForQuestionAnswering } from "../../../blip/neuron-blip-for-question-answering.js";
import type { GeneratedSequence } from "../../../generation/generated-sequence.js";
import type { GenerationConfig } from "../../../generation/generation-config.js";
import type { Tensor } from "../../../torch/tensor.js";
import { differenceOfScores } from "../differences.js";
import type { Reference } from "../reference.js";
import type { WholeResult } from "../report.js";

/** Compares what the whole model gives with what transformers gave for the same inputs when it was compiled. */
export async function compareWhole(
  directory: string,
  reference: Reference,
  threads: number | null,
  tolerance: number,
): Promise<WholeResult> {
  const options = threads === null ? {} : { threads };
  const { architecture } = await readBlipConfig(directory);
  if (architecture === "BlipForImageTextRetrieval") {
    await using model = await NeuronBlipForImageTextRetrieval.fromPretrained(directory, options);
    return { kind: "scores", differences: await scoreDifferences(model, reference), tolerance };
  }
  const pixelValues = reference.get("generate.pixel_values");
  if (architecture === "BlipForConditionalGeneration") {
    await using model = await NeuronBlipForConditionalGeneration.fromPretrained(directory, options);
    const inputIds = reference.find("generate.input_ids");
    const prompts = inputIds && { inputIds, attentionMask: reference.get("generate.attention_mask") };
    const found = await model.generate({ pixelValues, ...prompts }, greedy(reference));
    return compareTokens(found, reference.get("generate.sequences"), model.config.padTokenId);
  }
  await using model = await NeuronBlipForQuestionAnswering.fromPretrained(directory, options);
  const inputIds = reference.get("generate.input_ids");
  const attentionMask = reference.get("generate.attention_mask");
  const found = await model.generate({ pixelValues, inputIds, attentionMask }, greedy(reference));
  return compareTokens(found, reference.get("generate.sequences"), model.config.padTokenId);
}

/** How the recorded sequences were made: plain greedy search, whatever generation_config.json says. */
function greedy({ metadata }: Reference): GenerationConfig {
  const plain = { minLength: 0, numBeams: 1, doSample: false, repetitionPenalty: 1, noRepeatNgramSize: 0 };
  if (metadata.max_new_tokens !== undefined) return { ...plain, maxNewTokens: Number(metadata.max_new_tokens) };
  return { ...plain, ...(metadata.max_length !== undefined && { maxLength: Number(metadata.max_length) }) };
}

/** @param recorded int64 [rows, length], padded on the right. */
function compareTokens(found: readonly GeneratedSequence[], recorded: Tensor, padTokenId: number): WholeResult {
  const [rows = 0, length = 0] = recorded.shape;
  const all = Array.from(recorded.data as BigInt64Array, Number);
  let [equalRows, tokens, equalTokens] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    const padded = all.slice(row * length, (row + 1) * length);
    const wanted = padded.slice(
      0,
      padded.reduce((end, token, i) => (token === padTokenId ? end : i + 1), 0),
    );
    const given = found[row]?.tokenIds ?? [];
    const equal = wanted.filter((token, i) => given[i] === token).length;
    // A token too many counts as one that differs.
    tokens += Math.max(wanted.length, given.length);
    equalTokens += equal;
    if (equal === wanted.length && given.length === wanted.length) equalRows++;
  }
  return { kind: "tokens", rows, equalRows, tokens, equalTokens };
}

/** The recorded match and similarity follow from the parts' recorded outputs, which are of the same pictures and texts. */
async function scoreDifferences(model: NeuronBlipForImageTextRetrieval, reference: Reference) {
  const pixelValues = reference.get("vision_model.input.pixel_values");
  const texts = {
    inputIds: reference.get("image_text_matching.input.input_ids"),
    attentionMask: reference.get("image_text_matching.input.attention_mask"),
  };
  const logits = await model.matchLogits({ pixelValues, ...texts });
  const images = await model.getImageFeatures(await model.encodeImages(pixelValues));
  const features = await model.getTextFeatures(texts);
  return [
    differenceOfScores(
      "match",
      logits.map(({ data }) => probability([...data])),
      rows(reference.get("image_text_matching.output.itm_logits")).map(probability),
    ),
    differenceOfScores(
      "similarity",
      images.map(({ data }, i) => dot([...data], [...(features[i]?.data ?? [])])),
      rows(reference.get("image_projection.output.image_features")).map((image, i) =>
        dot(image, rows(reference.get("text_projection.output.text_features"))[i] ?? []),
      ),
    ),
  ];
}

function rows(tensor: Tensor): number[][] {
  const [count = 0, size = 0] = tensor.shape;
  const all = Array.from(tensor.data as Float32Array);
  return Array.from({ length: count }, (_, i) => all.slice(i * size, (i + 1) * size));
}

function probability([no = 0, yes = 0]: readonly number[]): number {
  return 1 / (1 + Math.exp(no - yes));
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, i) => sum + value * (other[i] ?? Number.NaN), 0);
}
