/** Requests to the Hub: the token goes to the Hub alone, and every failure is an error of this package. */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { abortedError, NeuronBlipError } from "../errors.js";
import { either } from "../util/concurrency.js";
import { isObject } from "../util/json-file.js";
import { packageFile } from "../util/package-file.js";
import { type Asked, connectionError, type Peer, refusal, unreached } from "./hub-errors.js";
import type { HubSettings } from "./hub-settings.js";

export interface HubRequest {
  readonly method?: "GET" | "POST";
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Statuses that are an answer too, beside those of success. */
  readonly accepts?: readonly number[];
  /** What is asked for, for the errors. */
  readonly asked: Asked;
}

/** A successful answer. */
export interface HubAnswer {
  readonly response: Response;
  /** What the Hub says the file's content is, where the answer or a redirection to it does: its SHA-256 where it is large. */
  readonly etag: string | undefined;
  /** Gives the body as it comes, and waits no longer for more than a transfer may stand still. */
  chunks(): AsyncGenerator<Uint8Array, void>;
  /** Ends the connection, where the body is not wanted. */
  close(): Promise<void>;
}

const MOST_REDIRECTS = 10;
/** Of an answer in JSON: a model with tens of thousands of files has less. */
const MOST_JSON_BYTES = 2 ** 25;
const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504]);
/** Longer than this nobody is kept waiting, in seconds. */
const LONGEST_PAUSE_S = 60;

let knownUserAgent: string | undefined;

/** Returns the User-Agent of this package. @throws NeuronBlipError `BUNDLED` */
function ownUserAgent(): string {
  if (knownUserAgent !== undefined) return knownUserAgent;
  const own: unknown = JSON.parse(readFileSync(packageFile("../package.json"), "utf8"));
  const version = isObject(own) ? String(own.version) : "";
  knownUserAgent = `neuron-blip/${version}; node/${process.versions.node}`;
  return knownUserAgent;
}

export class HubClient {
  readonly settings: HubSettings;
  /** For the errors. */
  readonly peer: Peer;
  readonly #signal: AbortSignal | undefined;

  /** @param model that is asked about. */
  constructor(settings: HubSettings, model: string, signal: AbortSignal | undefined) {
    this.settings = settings;
    this.peer = { endpoint: settings.endpoint, model };
    this.#signal = signal;
  }

  /**
   * Asks a question that is answered in JSON.
   * @param patient sends it again where the Hub says that it is busy or broken.
   * @throws NeuronBlipError as `open`.
   */
  async json(path: string, request: HubRequest, { patient }: { patient: boolean }): Promise<unknown> {
    const { retryDelaysMs } = this.settings;
    for (let attempt = 0; ; attempt++) {
      try {
        const text = await this.#text(await this.open(path, request));
        return this.#parse(text);
      } catch (error) {
        const delay = retryDelaysMs[attempt];
        if (!patient || delay === undefined || !(error instanceof BusyError)) throw errorOf(error);
        await this.pause(Math.max(delay, error.waitMs));
      }
    }
  }

  /**
   * Sends a request, follows redirections, and waits for the answer's beginning.
   * @param path after the Hub's address.
   * @throws NeuronBlipError `HUB_UNREACHABLE`, `HUB_ACCESS_DENIED`, `ARTIFACT_NOT_FOUND`, `ABORTED`; BusyError, in which
   * there is one, where to ask again may help.
   */
  async open(path: string, { method = "GET", json, headers = {}, accepts, asked }: HubRequest): Promise<HubAnswer> {
    const { endpoint, token, lookUpMs, stallMs } = this.settings;
    const userAgent = ownUserAgent();
    const own = new URL(endpoint).origin;
    let url = new URL(`${endpoint}/${path}`);
    let linked: string | null = null;
    const controller = new AbortController();
    const { signal, stop } = either(this.#signal, controller);
    try {
      for (let redirects = 0; ; redirects++) {
        const isHub = url.origin === own;
        const response = await this.#within(lookUpMs, "HF_HUB_ETAG_TIMEOUT", controller, () =>
          fetch(url, {
            method,
            redirect: "manual",
            signal,
            headers: {
              "user-agent": userAgent,
              // The sizes are those of the files, and a Range is of their bytes.
              "accept-encoding": "identity",
              ...(json !== undefined && { "content-type": "application/json" }),
              ...(isHub && token && { authorization: `Bearer ${token.value}` }),
              ...headers,
            },
            ...(json !== undefined && { body: JSON.stringify(json) }),
          }),
        );
        if (isHub) linked ??= response.headers.get("x-linked-etag");
        const location = response.status >= 300 && response.status < 400 ? response.headers.get("location") : null;
        if (location === null) {
          if (response.ok || accepts?.includes(response.status)) {
            return {
              response,
              etag: plainEtag(linked ?? (isHub ? response.headers.get("etag") : null)),
              chunks: () => this.#chunks(response, stallMs, controller, stop),
              close: async () => {
                stop();
                await response.body?.cancel();
              },
            };
          }
          await response.body?.cancel();
          const error = refusal(response, asked, this.settings);
          throw TRY_AGAIN.has(response.status) ? new BusyError(error, pauseOf(response.headers)) : error;
        }
        await response.body?.cancel();
        if (redirects === MOST_REDIRECTS || !URL.canParse(location, url.href)) {
          throw unreached(this.peer, "redirects without end, or to no address", "Is HF_ENDPOINT right?");
        }
        const next = new URL(location, url);
        const isSafe = next.protocol === "https:" || (next.protocol === "http:" && url.protocol === "http:");
        if (!isSafe) throw unreached(this.peer, `redirects to an address of ${next.protocol}`, "Is HF_ENDPOINT right?");
        url = next;
      }
    } catch (error) {
      stop();
      throw error;
    }
  }

  /** Waits so many ms. @throws NeuronBlipError `ABORTED` */
  async pause(ms: number): Promise<void> {
    const { signal, stop } = either(this.#signal, new AbortController());
    try {
      await wait(ms, undefined, { signal });
    } catch {
      throw abortedError(signal);
    } finally {
      stop();
    }
  }

  /** Waits for work, no longer than a time; throws its failures as errors of this package. */
  async #within<T>(ms: number, variable: string, controller: AbortController, work: () => Promise<T>): Promise<T> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, ms);
    try {
      return await work();
    } catch (error) {
      if (this.#signal?.aborted) throw abortedError(this.#signal);
      if (!late) throw connectionError(this.peer, error);
      const why = `sent nothing for ${ms / 1000} s`;
      throw unreached(this.peer, why, `${variable} says how many seconds to wait. Try again.`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async *#chunks(
    { body }: Response,
    stallMs: number,
    controller: AbortController,
    stop: () => void,
  ): AsyncGenerator<Uint8Array, void> {
    const reader = body?.getReader();
    try {
      for (;;) {
        const read = async () => reader?.read() ?? { done: true as const, value: undefined };
        const { done, value } = await this.#within(stallMs, "HF_HUB_DOWNLOAD_TIMEOUT", controller, read);
        if (done) return;
        yield value;
      }
    } finally {
      stop();
      // Whoever reads no further has no use for the rest.
      await reader?.cancel().catch(() => {});
    }
  }

  async #text(answer: HubAnswer): Promise<string> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of answer.chunks()) {
      bytes += piece.length;
      if (bytes > MOST_JSON_BYTES)
        throw unreached(this.peer, "sends more than a list of files", "Is HF_ENDPOINT right?");
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString("utf8");
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw unreached(
        this.peer,
        "answers with something else than a Hub's JSON",
        "Is HF_ENDPOINT right, or does a proxy's page stand before it?",
        error,
      );
    }
  }
}

/** An answer that may be another the next time. */
export class BusyError extends Error {
  readonly refusal: NeuronBlipError;
  /** How long the Hub wants to be left alone, in ms. */
  readonly waitMs: number;

  constructor(refusal: NeuronBlipError, waitMs: number) {
    super(refusal.message);
    this.refusal = refusal;
    this.waitMs = waitMs;
  }
}

/** Returns the error for the caller. */
export function errorOf(error: unknown): unknown {
  return error instanceof BusyError ? error.refusal : error;
}

/** Says whether to ask again may help: after a failure of the network, a busy Hub, or a transfer that was cut. */
export function mayPass(error: unknown): boolean {
  return error instanceof BusyError || (error instanceof NeuronBlipError && error.code === "HUB_UNREACHABLE");
}

/** Returns a header's ETag as Python's huggingface_hub names files by it. */
function plainEtag(etag: string | null): string | undefined {
  return etag?.replace(/^W\//, "").replaceAll('"', "") || undefined;
}

function pauseOf(headers: Headers): number {
  const seconds = Number(headers.get("retry-after") ?? /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1] ?? 0);
  return seconds > 0 ? Math.min(seconds, LONGEST_PAUSE_S) * 1000 : 0;
}
