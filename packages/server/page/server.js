import { readEvents } from "./events.js";
import { Problem, problemOf, problemOfEvent } from "./problems.js";

/**
 * What the page knows of the server.
 * @typedef {object} Settings
 * @property {string} modelName
 * @property {"answer" | "caption" | "match"} task
 * @property {number} maxBodyBytes
 * @property {number} maxQuestionLength
 * @property {string[]} standingQuestions
 */

/**
 * A text as it grows, or the whole.
 * @typedef {{piece: string} | {text: string, score: number}} Generated
 */

/** Kept as long as the tab is open, and never longer. */
const KEY = "neuron-blip-key";

let key = stored((storage) => storage.getItem(KEY)) ?? undefined;

/**
 * From now on requests have this key.
 * @param {string | undefined} given
 */
export function useKey(given) {
  key = given;
  stored((storage) => (given === undefined ? storage.removeItem(KEY) : storage.setItem(KEY, given)));
}

/**
 * Uses the tab's storage, which some browsers are set to refuse: then the key is kept until the page is left.
 * @template T
 * @param {(storage: Storage) => T} use
 * @returns {T | undefined}
 */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}

export function hasKey() {
  return key !== undefined;
}

/**
 * Asks what the server is.
 * @returns {Promise<Settings>}
 * @throws {Problem}
 */
export async function readSettings() {
  return (await request("page/settings", {})).json();
}

/**
 * Asks the model about a picture, which is sent as it is.
 * @param {Settings} settings
 * @param {File} picture
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Generated, void, void>}
 * @throws {Problem}
 */
export async function* ask({ task }, picture, text, signal) {
  const name = { answer: "question", caption: "prompt", match: "text" }[task];
  const query = text === "" ? "" : `?${new URLSearchParams({ [name]: text })}`;
  const headers = { "content-type": picture.type || "application/octet-stream" };
  const accept = task === "match" ? "application/json" : "text/event-stream";
  const response = await request(`${task}${query}`, {
    method: "POST",
    headers: { ...headers, accept },
    body: picture,
    signal,
  });
  if (task === "match") {
    const { matches } = await response.json();
    yield { text: "", score: matches[0].score };
    return;
  }
  if (response.body === null) throw new Problem("CUT", "");
  yield* generated(response.body, task, signal);
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @param {"answer" | "caption"} task
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Generated, void, void>}
 */
async function* generated(body, task, signal) {
  try {
    for await (const { event, data } of readEvents(body)) {
      if (event === "end") return;
      if (event === "error") throw problemOfEvent(data);
      if (typeof data !== "object" || data === null) continue;
      if (event === "piece" && "text" in data) yield { piece: String(data.text) };
      if (event === task && task in data && "score" in data) {
        const { [task]: text, score } = /** @type {Record<string, unknown>} */ (data);
        yield { text: String(text), score: Number(score) };
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Problem) throw error;
  }
  throw new Problem("CUT", "");
}

/**
 * @param {string} path
 * @param {RequestInit & {headers?: Record<string, string>}} init
 */
async function request(path, init) {
  const authorization = key === undefined ? undefined : { authorization: `Bearer ${key}` };
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, { ...init, headers: { ...init.headers, ...authorization }, credentials: "omit" });
  } catch {
    init.signal?.throwIfAborted();
    throw new Problem("UNREACHABLE", "");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}
