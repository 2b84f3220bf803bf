/** What a server allows: see docs/serving.md. */
export interface Limits {
  /** The most bytes of a request's body, and of a picture that is fetched. Default 10 MiB. */
  readonly maxBodyBytes: number;
  /** The most bytes of bodies and fetched pictures in hand, of all requests together. Default 256 MiB. */
  readonly maxBytesInHand: number;
  /** The most questions of a request. Default 32. */
  readonly maxQuestions: number;
  /** The most characters of a question. Default 512. */
  readonly maxQuestionLength: number;
  /** How long a request may take, from its headers to its reply, in ms. Default 30,000. */
  readonly requestTimeoutMs: number;
}

/** The most pixels of a picture: 20 megapixels. The model has it as `maxPixels`. */
export const MAX_PIXELS = 20_000_000;

/** How many calls may wait, for each replica. */
export const WAITING_PER_REPLICA = 64;

export const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 10 * 2 ** 20,
  maxBytesInHand: 256 * 2 ** 20,
  maxQuestions: 32,
  maxQuestionLength: 512,
  requestTimeoutMs: 30_000,
};

/** How a server behaves. */
export interface ServerOptions {
  /** What the model is called by protocols that name models. Default "blip". */
  readonly modelName?: string;
  readonly limits?: Partial<Limits>;
  /** Questions that are asked of every picture that comes without one. */
  readonly standingQuestions?: readonly string[];
  /** Keys, of which each request needs one. Default: none is needed, and foreign Host and Origin headers are refused. */
  readonly apiKeys?: readonly string[];
  /** Names of hosts that this server goes by, beside localhost and addresses; for where no key is needed. "*" is any. */
  readonly allowedHosts?: readonly string[];
  /** Hosts, as HOST or HOST:PORT, that pictures may be fetched from. Default: none. */
  readonly allowedUrls?: readonly string[];
  /** Whether /metrics is served; else it is for `createMetricsServer`. Default true. */
  readonly metrics?: boolean;
  /** "fatal", "error", "warn", "info", "debug" or "silent". Default "info". */
  readonly logLevel?: string;
}
