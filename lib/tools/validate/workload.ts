import { NeuronBlip } from "../../neuron-blip.js";
import type { PixelSource } from "../../processing/image-source.js";
import { itemAt } from "../../util/item-at.js";

/** What is asked of a model, over and over: a few items, each with an outcome that must always be the same. */
export interface Workload {
  /** How many different items there are; any number asks for the one that it leads to, in turn. */
  readonly items: number;
  ask(item: number): Promise<Outcome>;
}

/** An answer's or a caption's tokens, or a match's probability. */
export type Outcome = { readonly tokenIds: readonly number[] } | { readonly score: number };

/** Says what a model's outcomes are called. */
export function unitOf(architecture: string): string {
  if (architecture === "BlipForImageTextRetrieval") return "matches";
  return architecture === "BlipForConditionalGeneration" ? "captions" : "answers";
}

const QUESTIONS = ["what is in the picture?", "what color is it?", "how many are there?"];
const PICTURES = 4;

/** Makes pictures and questions for a model, whatever it was trained on. Pictures are pixels, 640 x 480: none is decoded. */
export function workloadOf(blip: NeuronBlip): Workload {
  const pictures = Array.from({ length: PICTURES }, (_, i) => makePicture(i));
  const questions = blip.architecture === "BlipForConditionalGeneration" ? [""] : QUESTIONS;
  return {
    items: pictures.length * questions.length,
    async ask(item) {
      const picture = itemAt(pictures, item % pictures.length);
      const question = itemAt(questions, Math.floor(item / pictures.length) % questions.length);
      if (blip.architecture === "BlipForConditionalGeneration") return tokensOf(await blip.caption(picture));
      if (blip.architecture === "BlipForQuestionAnswering") {
        return tokensOf(await blip.answer(picture, question, { truncation: true }));
      }
      const { score } = await blip.match(picture, question, { truncation: true });
      return { score };
    },
  };
}

/** Tells whether an outcome is the one that was there before; probabilities may differ as little as never matters. */
export function isSame(one: Outcome, other: Outcome): boolean {
  if ("score" in one || "score" in other) {
    return "score" in one && "score" in other && Math.abs(one.score - other.score) < 1e-3;
  }
  return one.tokenIds.join() === other.tokenIds.join();
}

/** Loads a model. @param threads cores of the CPU for each replica; null: an equal share. */
export function loadBlip(directory: string, replicas: number, threads: number | null): Promise<NeuronBlip> {
  // Every answer looks at its picture: what is judged is the model's work, not what is kept of it.
  const options = { numModels: replicas, pictureCache: false, ...(threads !== null && { threads }) };
  return NeuronBlip.fromPretrained(directory, options);
}

/** Draws coloured circles on a colour gradient, others in each picture. */
function makePicture(seed: number): PixelSource {
  const [width, height] = [640, 480];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      const inside = (x - 120 - 110 * seed) ** 2 + (y - 240) ** 2 < (60 + 25 * seed) ** 2;
      for (let channel = 0; channel < 3; channel++) {
        const slope = ((x + 2 * y + 80 * channel * seed) * 160) / (width + 2 * height);
        data[at + channel] = inside ? (channel === seed % 3 ? 220 : 40) : 60 + (slope % 160);
      }
    }
  }
  return { data, width, height, channels: 3 };
}

function tokensOf({ tokenIds }: { tokenIds: readonly number[] }): Outcome {
  return { tokenIds };
}
