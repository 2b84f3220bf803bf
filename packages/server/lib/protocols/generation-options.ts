/** Less is as none: what logits are divided by must leave them finite. */
export const LEAST_TEMPERATURE = 1e-6;

/** The generation options that requests may set, with bounds on what costs or overflows; the library says the rest. */
export const GENERATION_OPTIONS = {
  maxNewTokens: { type: "integer", minimum: 1, maximum: 512 },
  minNewTokens: { type: "integer", minimum: 0, maximum: 512 },
  numBeams: { type: "integer", minimum: 1, maximum: 16 },
  lengthPenalty: { type: "number", minimum: -100, maximum: 100 },
  earlyStopping: { type: "boolean" },
  numReturnSequences: { type: "integer", minimum: 1, maximum: 16 },
  doSample: { type: "boolean" },
  temperature: { type: "number", minimum: LEAST_TEMPERATURE },
  topK: { type: "integer", minimum: 0 },
  topP: { type: "number", exclusiveMinimum: 0, maximum: 1 },
  minP: { type: "number", minimum: 0, maximum: 1 },
  typicalP: { type: "number", exclusiveMinimum: 0, maximum: 1 },
  seed: { type: "integer", minimum: 0, maximum: 4294967295 },
  repetitionPenalty: { type: "number", minimum: 0.01, maximum: 100 },
  noRepeatNgramSize: { type: "integer", minimum: 0 },
} as const;

/** The same, as a type. */
export interface GenerationFields {
  readonly maxNewTokens?: number;
  readonly minNewTokens?: number;
  readonly numBeams?: number;
  readonly lengthPenalty?: number;
  readonly earlyStopping?: boolean;
  readonly numReturnSequences?: number;
  readonly doSample?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly typicalP?: number;
  readonly seed?: number;
  readonly repetitionPenalty?: number;
  readonly noRepeatNgramSize?: number;
}
