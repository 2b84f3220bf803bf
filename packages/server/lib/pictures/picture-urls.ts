import { isIP } from "node:net";
import type { Readable } from "node:stream";
import { Agent, request } from "undici";
import type { ByteShare } from "../limits/byte-budget.js";
import { collect } from "../limits/collect.js";
import { Problem } from "../problem.js";
import { lookUpPublic } from "./public-address.js";

const MOST_REDIRECTS = 2;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** How long, in ms, a host may take to be connected to, to begin with its reply, and between two pieces of it. */
const HOST_TIMEOUT_MS = 5000;

export interface FetchOptions {
  readonly signal: AbortSignal;
  readonly share: ByteShare;
}

/** Fetches pictures from hosts that the operator has named, by addresses of the public network. */
export class PictureUrls {
  readonly #hosts: ReadonlySet<string>;
  readonly #maxBytes: number;
  readonly #agent = new Agent({
    connect: { lookup: lookUpPublic, timeout: HOST_TIMEOUT_MS },
    headersTimeout: HOST_TIMEOUT_MS,
    bodyTimeout: HOST_TIMEOUT_MS,
  });

  /** @param hosts as HOST, for its ports 80 and 443, or HOST:PORT. An address is allowed as it is, be it public or not. */
  constructor(hosts: readonly string[], maxBytes: number) {
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
    this.#maxBytes = maxBytes;
  }

  /**
   * Fetches a picture.
   * @throws Problem `INVALID_INPUT`, `URL_NOT_ALLOWED`, `PICTURE_UNREACHABLE`, `BODY_TOO_LARGE`, `BUSY`, `ABORTED`, `TIMEOUT`
   */
  async fetch(address: string, { signal, share }: FetchOptions): Promise<Buffer> {
    let url = this.#check(address);
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const { statusCode, headers, body } = await this.#request(url, signal);
      const { location } = headers;
      if (REDIRECTS.includes(statusCode) && typeof location === "string") {
        discard(body);
        url = this.#check(location, url);
        continue;
      }
      if (statusCode !== 200) {
        discard(body);
        throw unreachable(url, `it replied with ${statusCode}`, { statusCode });
      }
      try {
        return await collect(body, this.#maxBytes, share);
      } catch (error) {
        discard(body);
        throw failureOf(url, error, signal);
      }
    }
    throw unreachable(url, `it redirects more than ${MOST_REDIRECTS} times`);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #request(url: URL, signal: AbortSignal) {
    const headers = { accept: "image/*", "accept-encoding": "identity" };
    try {
      return await request(url, { dispatcher: this.#agent, headers, signal });
    } catch (error) {
      throw failureOf(url, error, signal);
    }
  }

  /** Checks that a URL may be fetched. @param base what a redirection is relative to. */
  #check(address: string, base?: URL): URL {
    if (!URL.canParse(address, base?.href)) throw new Problem("INVALID_INPUT", "The picture's URL is not valid.");
    const url = new URL(address, base);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new Problem("INVALID_INPUT", "A picture's URL is of http:, https: or data:.");
    }
    if (url.username || url.password)
      throw new Problem("INVALID_INPUT", "A picture's URL has no user and no password.");
    // `host` is without the port where that is the protocol's own.
    if (!this.#hosts.has(url.host) && !this.#hosts.has(`${url.hostname}:${url.port || defaultPort(url)}`)) {
      throw new Problem("URL_NOT_ALLOWED", "Pictures may not be fetched from this URL's host.");
    }
    return url;
  }
}

/** Ends a reply that is not wanted, and its connection. */
function discard(body: Readable): void {
  body.on("error", () => {}); // that it was ended
  body.destroy();
}

function defaultPort({ protocol }: URL): string {
  return protocol === "http:" ? "80" : "443";
}

function unreachable({ hostname }: URL, why: string, cause?: unknown): Problem {
  const host = isIP(hostname) ? `[${hostname}]` : hostname.slice(0, 100);
  return new Problem("PICTURE_UNREACHABLE", `The picture cannot be fetched from ${host}: ${why}.`, { cause });
}

function failureOf(url: URL, error: unknown, signal: AbortSignal): Problem {
  if (error instanceof Problem) return error;
  if (signal.reason instanceof Problem) return signal.reason;
  return unreachable(url, "it cannot be reached, or ended too early", error);
}
