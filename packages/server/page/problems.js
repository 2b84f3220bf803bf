/** What went wrong, as the server says it (RFC 9457) or the browser. */
export class Problem extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {number} [retryAfter] in seconds
   */
  constructor(code, detail, retryAfter) {
    super(detail);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** What a person is told first; the server's own words follow where there is more to know. */
const WORDS = /** @type {Readonly<Record<string, string>>} */ ({
  INVALID_IMAGE: "The server cannot read this file as a picture.",
  IMAGE_TOO_LARGE: "This picture has too many pixels for the server.",
  BODY_TOO_LARGE: "This picture is too large for the server.",
  INPUT_TOO_LONG: "This text is too long for the model.",
  QUEUE_FULL: "The server is busy.",
  BUSY: "The server is busy.",
  OUT_OF_MEMORY: "The server is out of memory.",
  TIMEOUT: "The server took too long.",
  FOREIGN_HOST: "The server does not know the name in your browser's address line.",
  UNREACHABLE: "The server cannot be reached.",
  CUT: "The answer broke off.",
});

/** Those of which the server's words tell nothing more. */
const SAID = ["QUEUE_FULL", "BUSY", "TIMEOUT", "UNREACHABLE", "CUT", "OUT_OF_MEMORY"];

/**
 * Says in words what went wrong, and what may help.
 * @param {Problem} problem
 */
export function wordsOf({ code, message, retryAfter }) {
  const words = WORDS[code];
  const what = words === undefined || SAID.includes(code) ? (words ?? message) : `${words} It says: ${message}`;
  if (retryAfter === undefined) return what;
  return `${what} Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`;
}

/**
 * Reads what the server says of a request that failed.
 * @param {Response} response
 */
export async function problemOf(response) {
  /** @type {unknown} */
  const body = await response.json().catch(() => undefined);
  const { code, detail } = fieldsOf(body);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new Problem(
    code ?? "HTTP",
    detail ?? `The server replied ${response.status} ${response.statusText}.`,
    Number.isFinite(seconds) ? seconds : undefined,
  );
}

/**
 * The problem of an event.
 * @param {unknown} data
 */
export function problemOfEvent(data) {
  const { code, detail } = fieldsOf(data);
  return new Problem(code ?? "INTERNAL", detail ?? "The server failed.");
}

/**
 * @param {unknown} body
 * @returns {{code?: string, detail?: string}}
 */
function fieldsOf(body) {
  if (typeof body !== "object" || body === null) return {};
  return {
    ...("code" in body && typeof body.code === "string" && { code: body.code }),
    ...("detail" in body && typeof body.detail === "string" && { detail: body.detail }),
  };
}
