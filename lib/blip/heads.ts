/** What BLIP's models are made of: transformers' classes, and the compiled parts of each. */

/** A part's name, as the manifest and the files have it. */
export type PartName =
  | "vision_model"
  | "text_decoder"
  | "text_encoder"
  | "text_decoder_all_positions"
  | "image_text_matching"
  | "image_projection"
  | "text_projection";

/** Every part's number of inputs, by which a part is told from another. */
const INPUT_COUNTS: Readonly<Record<PartName, number>> = {
  vision_model: 1,
  text_decoder: 5,
  text_encoder: 4,
  text_decoder_all_positions: 4,
  image_text_matching: 4,
  image_projection: 1,
  text_projection: 2,
};

/** transformers' class, as config.json names it. */
export type Architecture = "BlipForQuestionAnswering" | "BlipForConditionalGeneration" | "BlipForImageTextRetrieval";

export interface Head {
  /** In the order of loading, the tutorial's: on Neuron it decides which core a part lands on. */
  readonly parts: readonly PartName[];
  /** Made where they were asked for. */
  readonly optionalParts: readonly PartName[];
  /** The methods of NeuronBlip that it has, for messages. */
  readonly can: string;
}

export const HEADS: Readonly<Record<Architecture, Head>> = {
  BlipForQuestionAnswering: {
    parts: ["vision_model", "text_decoder", "text_encoder"],
    optionalParts: ["text_decoder_all_positions"],
    can: "answer, stream and rank",
  },
  BlipForConditionalGeneration: {
    parts: ["vision_model", "text_decoder"],
    optionalParts: [],
    can: "caption and stream",
  },
  BlipForImageTextRetrieval: {
    parts: ["vision_model", "image_text_matching", "image_projection", "text_projection"],
    optionalParts: [],
    can: "match and similarity",
  },
};

export function inputCountOf(part: PartName): number {
  return INPUT_COUNTS[part];
}

export function isArchitecture(name: unknown): name is Architecture {
  return typeof name === "string" && Object.hasOwn(HEADS, name);
}
