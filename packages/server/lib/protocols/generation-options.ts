/** The generation options that requests may set, with bounds on what costs; the library says the rest. */
export const GENERATION_OPTIONS = {
  maxNewTokens: { type: "integer", minimum: 1, maximum: 512 },
  minNewTokens: { type: "integer", minimum: 0, maximum: 512 },
  numBeams: { type: "integer", minimum: 1, maximum: 16 },
  lengthPenalty: { type: "number" },
  earlyStopping: { type: "boolean" },
  numReturnSequences: { type: "integer", minimum: 1, maximum: 16 },
  doSample: { type: "boolean" },
  temperature: { type: "number", exclusiveMinimum: 0 },
  topK: { type: "integer", minimum: 0 },
  topP: { type: "number", exclusiveMinimum: 0, maximum: 1 },
  minP: { type: "number", minimum: 0, maximum: 1 },
  typicalP: { type: "number", exclusiveMinimum: 0, maximum: 1 },
  seed: { type: "integer", minimum: 0, maximum: 4294967295 },
  repetitionPenalty: { type: "number", exclusiveMinimum: 0 },
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
