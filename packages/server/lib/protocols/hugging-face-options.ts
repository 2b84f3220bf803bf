/** The parameters of Hugging Face's tasks: our generation options in snake_case. */
import { GENERATION_OPTIONS, type GenerationFields } from "./generation-options.js";

type Schemas = Readonly<Record<string, object>>;
const { numReturnSequences, topK, ...shared } = GENERATION_OPTIONS;

/** Of visual-question-answering, where `top_k` is the number of answers. */
export const ANSWER_PARAMETERS = inSnakeCase({ ...shared, topK: numReturnSequences });
/** Of image-to-text. */
export const CAPTION_PARAMETERS = inSnakeCase({ ...shared, topK, numReturnSequences });

function inSnakeCase(schemas: Schemas): Schemas {
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [snake(name), schema]));
}

/** Converts parameters for captions. @param parameters which their schema has checked. */
export function toCaptionOptions(parameters: object): GenerationFields {
  const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [camel(name), value]));
}

/** Converts parameters for answers. Several answers come of as many beams, unless they are sampled. */
export function toAnswerOptions(parameters: object): GenerationFields {
  const { topK: count = 1, ...options } = toCaptionOptions(parameters);
  if (count === 1) return options;
  if (options.doSample) return { ...options, numReturnSequences: count };
  return { ...options, numBeams: Math.max(options.numBeams ?? 1, count), numReturnSequences: count };
}
