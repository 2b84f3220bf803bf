import { NeuronBlipError, type NeuronBlipErrorCode } from "neuron-blip";

/** Codes of the server's own, beside the library's. */
export type ServerErrorCode =
  /** There is no such path, or not for this model. */
  | "NOT_FOUND"
  /** The path is there, and not for this method: the reply's Allow says for which. */
  | "METHOD_NOT_ALLOWED"
  /** No HTTP, or not as the standard has it. */
  | "BAD_REQUEST"
  /** The body is larger than the limit. */
  | "BODY_TOO_LARGE"
  /** The body is of a kind that the path does not take. */
  | "UNSUPPORTED_MEDIA_TYPE"
  /** The request has no key, or not one of this server's. */
  | "UNAUTHORIZED"
  /** The Host or Origin header is another's. */
  | "FOREIGN_HOST"
  /** The URL's host is not one that pictures may be fetched from. */
  | "URL_NOT_ALLOWED"
  /** The picture could not be fetched. */
  | "PICTURE_UNREACHABLE"
  /** The request did not come, or was not done, in time. */
  | "TIMEOUT"
  /** The server has as many bytes in hand as it may. */
  | "BUSY"
  /** A fault of the server's own. */
  | "INTERNAL";

export type ProblemCode = NeuronBlipErrorCode | ServerErrorCode;

const STATUS: Readonly<Partial<Record<ProblemCode, number>>> = {
  INVALID_INPUT: 400,
  BAD_REQUEST: 400,
  UNAUTHORIZED: 401,
  FOREIGN_HOST: 403,
  URL_NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  ARTIFACT_MISMATCH: 404,
  METHOD_NOT_ALLOWED: 405,
  TIMEOUT: 504,
  BODY_TOO_LARGE: 413,
  IMAGE_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  INVALID_IMAGE: 422,
  INPUT_TOO_LONG: 422,
  PICTURE_UNREACHABLE: 422,
  ABORTED: 499,
  BUSY: 503,
  QUEUE_FULL: 503,
  DISPOSED: 503,
  OUT_OF_MEMORY: 503,
  NEURON_EXECUTION: 503,
  NEURON_RESTART_REQUIRED: 503,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Those that the same request may have no more a moment later. */
const PASSING: readonly ProblemCode[] = ["BUSY", "QUEUE_FULL", "OUT_OF_MEMORY", "NEURON_EXECUTION", "DISPOSED"];

/** What a client is told of an error, by any protocol. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: ProblemCode;
  readonly status: number;
  /** The request's field that it is about, such as "messages.0.content", where it is about one. */
  readonly field: string | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { status?: number; cause?: unknown; field?: string | undefined } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? STATUS[code] ?? 500;
    this.field = options.field;
  }

  /** Tells whether the client may try again soon. */
  get isPassing(): boolean {
    return PASSING.includes(this.code);
  }

  get title(): string {
    return TITLES[this.status] ?? "Error";
  }

  /** Writes it as RFC 9457 has it, with a code. */
  toJSON(): { type: string; title: string; status: number; code: ProblemCode; detail: string } {
    return { type: "about:blank", title: this.title, status: this.status, code: this.code, detail: this.message };
  }
}

/** Says what a client is told of whatever was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof NeuronBlipError) return ofLibrary(error);
  const { statusCode, code, message, validation } = fieldsOf(error);
  if (validation) return new Problem("INVALID_INPUT", `${message}.`, { cause: error, field: fieldOf(validation) });
  if (statusCode === undefined || statusCode >= 500) {
    return new Problem("INTERNAL", "The server failed. Its log says more.", { cause: error });
  }
  return new Problem(codeOfStatus(statusCode, code), message, { status: statusCode, cause: error });
}

/**
 * Makes a problem of the library's error. A signal's reason is what its call ended for. What is wrong inside is for the log, which
 * may name files.
 */
function ofLibrary(error: NeuronBlipError): Problem {
  if (error.code === "ABORTED") {
    return error.cause instanceof Problem ? error.cause : new Problem("ABORTED", "The request was aborted.");
  }
  const status = STATUS[error.code] ?? 500;
  const isClients = status < 500 || error.code === "QUEUE_FULL";
  const detail = isClients ? error.message : "The model failed. The server's log says more.";
  return new Problem(error.code, detail, { cause: error });
}

/** Returns the code of what fastify, its plugins and Node say of a request. */
function codeOfStatus(status: number, code: string | undefined): ProblemCode {
  if (status === 413 || code === "FST_ERR_CTP_BODY_TOO_LARGE") return "BODY_TOO_LARGE";
  if (status === 415 || status === 406) return "UNSUPPORTED_MEDIA_TYPE";
  if (status === 404) return "NOT_FOUND";
  return code?.startsWith("FST_ERR_CTP") ? "INVALID_INPUT" : "BAD_REQUEST";
}

function fieldsOf(error: unknown): {
  statusCode: number | undefined;
  code: string | undefined;
  message: string;
  validation: readonly unknown[] | undefined;
} {
  const fields: { statusCode?: unknown; code?: unknown; message?: unknown; validation?: unknown } =
    typeof error === "object" && error !== null ? error : {};
  return {
    statusCode: typeof fields.statusCode === "number" ? fields.statusCode : undefined,
    code: typeof fields.code === "string" ? fields.code : undefined,
    message: typeof fields.message === "string" ? fields.message.slice(0, 500) : "The request is not valid",
    validation: Array.isArray(fields.validation) ? fields.validation : undefined,
  };
}

/** Names the field that the schema's first error is about. */
function fieldOf([first]: readonly unknown[]): string | undefined {
  const path = typeof first === "object" && first !== null && "instancePath" in first ? first.instancePath : undefined;
  return typeof path === "string" && path !== "" ? path.slice(1).replaceAll("/", ".") : undefined;
}
