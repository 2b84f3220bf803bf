/** What our own endpoints and the workers tell of what the model wrote. */
import type { Answer, Caption } from "neuron-blip";

export function answerOf({ answer, score, alternatives }: Answer) {
  const others = alternatives?.map(({ answer, score }) => ({ answer, score }));
  return { answer, score, ...(others && { alternatives: others }) };
}

export function captionOf({ caption, score, alternatives }: Caption) {
  const others = alternatives?.map(({ caption, score }) => ({ caption, score }));
  return { caption, score, ...(others && { alternatives: others }) };
}
