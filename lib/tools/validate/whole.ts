import type { Architecture } from "../../blip/heads.js";
import { NeuronBlipForConditionalGeneration } from "../../blip/neuron-blip-for-conditional-generation.js";
import { NeuronBlipForImageTextRetrieval } from "../../blip/neuron-blip-for-image-text-retrieval.js";
import { NeuronBlipForQuestionAnswering } from "../../blip/neuron-blip-for-question-answering.js";
import type { GeneratedSequence } from "../../generation/generated-sequence.js";
import type { GenerationConfig } from "../../generation/generation-config.js";
import { rowsOf, type Tensor } from "../../torch/tensor.js";
import { type Difference, differenceOfScores } from "./differences.js";
import type { Reference } from "./reference.js";

/** Whole results against the recorded ones: tokens of answers or captions, or a retrieval model's numbers. */
export type WholeResult = Awaited<ReturnType<typeof compareWhole>>;

/** Compares what the whole model gives with what transformers gave for the same inputs when it was compiled. */
export async function compareWhole(
  directory: string,
  architecture: Architecture,
  reference: Reference,
  threads: number | null,
  tolerance: number,
) {
  const options = threads === null ? {} : { threads };
  if (architecture === "BlipForImageTextRetrieval") {
    await using model = await NeuronBlipForImageTextRetrieval.fromPretrained(directory, options);
    return { kind: "scores" as const, differences: await scoreDifferences(model, reference), tolerance };
  }
  const pixelValues = reference.get("generate.pixel_values");
  const recorded = reference.get("generate.sequences");
  if (architecture === "BlipForConditionalGeneration") {
    await using model = await NeuronBlipForConditionalGeneration.fromPretrained(directory, options);
    const inputIds = reference.find("generate.input_ids");
    const prompts = inputIds && { inputIds, attentionMask: reference.get("generate.attention_mask") };
    const found = await model.generate({ pixelValues, ...prompts }, greedy(reference));
    return compareTokens(found, recorded, model.config.padTokenId);
  }
  await using model = await NeuronBlipForQuestionAnswering.fromPretrained(directory, options);
  const inputIds = reference.get("generate.input_ids");
  const attentionMask = reference.get("generate.attention_mask");
  const found = await model.generate({ pixelValues, inputIds, attentionMask }, greedy(reference));
  return compareTokens(found, recorded, model.config.padTokenId);
}

/** Returns how the recorded sequences were made: plain greedy search, whatever generation_config.json says. */
function greedy({ metadata }: Reference): GenerationConfig {
  const plain = { minLength: 0, numBeams: 1, doSample: false, repetitionPenalty: 1, noRepeatNgramSize: 0 };
  if (metadata.max_new_tokens !== undefined) return { ...plain, maxNewTokens: Number(metadata.max_new_tokens) };
  return { ...plain, ...(metadata.max_length !== undefined && { maxLength: Number(metadata.max_length) }) };
}

/** Counts the rows and tokens that are equal. @param recorded int64 [rows, length], padded on the right. */
function compareTokens(found: readonly GeneratedSequence[], recorded: Tensor, padTokenId: number) {
  const rows = rowsOf(recorded).map(numbersOf);
  let [equalRows, tokens, equalTokens] = [0, 0, 0];
  for (const [row, padded] of rows.entries()) {
    const end = padded.reduce((last, token, i) => (token === padTokenId ? last : i + 1), 0);
    const wanted = padded.slice(0, end);
    const given = found[row]?.tokenIds ?? [];
    // A token too many counts as one that differs.
    tokens += Math.max(wanted.length, given.length);
    equalTokens += wanted.filter((token, i) => given[i] === token).length;
    if (wanted.join() === given.join()) equalRows++;
  }
  return { kind: "tokens" as const, rows: rows.length, equalRows, tokens, equalTokens };
}

/** Compares match and similarity with what follows from the parts' recorded outputs, which are of the same pictures and texts. */
async function scoreDifferences(model: NeuronBlipForImageTextRetrieval, reference: Reference): Promise<Difference[]> {
  const pixelValues = reference.get("vision_model.input.pixel_values");
  const texts = {
    inputIds: reference.get("image_text_matching.input.input_ids"),
    attentionMask: reference.get("image_text_matching.input.attention_mask"),
  };
  const recorded = (name: string) => rowsOf(reference.get(name)).map(numbersOf);
  const logits = await model.matchLogits({ pixelValues, ...texts });
  const match = recorded("image_text_matching.output.itm_logits").map(probability);
  const images = await model.getImageFeatures(await model.encodeImages(pixelValues));
  const features = await model.getTextFeatures(texts);
  const cosines = dots(
    recorded("image_projection.output.image_features"),
    recorded("text_projection.output.text_features"),
  );
  return [
    differenceOfScores("match", logits.map(numbersOf).map(probability), match),
    differenceOfScores("similarity", dots(images.map(numbersOf), features.map(numbersOf)), cosines),
  ];
}

function numbersOf({ data }: Tensor): number[] {
  return Array.from<number | bigint, number>(data, Number);
}

function probability([no = 0, yes = 0]: readonly number[]): number {
  return 1 / (1 + Math.exp(no - yes));
}

/** Computes the dot product of each row with its like. */
function dots(ones: readonly number[][], others: readonly number[][]): number[] {
  return ones.map((one, row) => one.reduce((sum, value, i) => sum + value * (others[row]?.[i] ?? Number.NaN), 0));
}
