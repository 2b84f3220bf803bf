/**
 * A stand-in for the Hugging Face Hub on loopback: what this package and Python's huggingface_hub ask of it, with its headers, its
 * refusals, and large files on a host of their own, to which it redirects. Not the Hub: what that does beyond this is not known here.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Files = Readonly<Record<string, string | Buffer>>;

interface Repository {
  readonly commits: Map<string, Map<string, Buffer>>;
  readonly branches: Map<string, string>;
  access: Access;
}

/** Who may read a model. */
export type Access = "public" | "gated" | "private";

export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** Whether it came to the host of large files. */
  readonly toStore: boolean;
}

/** Answers a request in the stand-in's place, and says so. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse, toStore: boolean) => boolean;

const LARGE = /\.(safetensors|bin|pt|h5)$/;

export class HubStandIn implements AsyncDisposable {
  /** In the order of their arrival. */
  readonly requests: SeenRequest[] = [];
  /** Tokens, with the models that each may read. */
  readonly tokens = new Map<string, readonly string[]>();
  intercept: Interceptor | undefined;
  /** Connections for large files that are cut after so many bytes; one for each number. */
  readonly cuts: number[] = [];
  readonly #repositories = new Map<string, Repository>();
  readonly #hub: Server;
  readonly #store: Server;
  readonly #contents = new Map<string, Buffer>();

  private constructor(hub: Server, store: Server) {
    this.#hub = hub;
    this.#store = store;
    hub.on("request", (request, response) => this.#answer(request, response, false));
    store.on("request", (request, response) => this.#answer(request, response, true));
  }

  static async start(): Promise<HubStandIn> {
    const [hub, store] = [createServer(), createServer()];
    const standIn = new HubStandIn(hub, store);
    hub.listen(0, "127.0.0.1");
    // By another name, so that it is another host to all who look.
    store.listen(0, "localhost");
    await Promise.all([once(hub, "listening"), once(store, "listening")]);
    return standIn;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${portOf(this.#hub)}`;
  }

  get storeEndpoint(): string {
    return `http://localhost:${portOf(this.#store)}`;
  }

  /** Makes a commit of a model, and lets a branch stand for it. @returns its name. */
  commit(model: string, files: Files, { branch = "main", access = "public" as Access } = {}): string {
    const contents = new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]));
    const digest = createHash("sha1").update(model);
    for (const [path, content] of contents) {
      digest.update(`${path} ${content.length}\n`).update(content);
      this.#contents.set(sha256(content), content);
    }
    const commit = digest.digest("hex");
    const repository = this.#repositories.get(model) ?? { commits: new Map(), branches: new Map(), access };
    repository.commits.set(commit, contents);
    repository.branches.set(branch, commit);
    repository.access = access;
    this.#repositories.set(model, repository);
    return commit;
  }

  /** The paths of the requests so far, such as "GET /api/models/…"; those to the host of large files without their query. */
  seen(pattern: RegExp = /./): string[] {
    const lines = this.requests.map(({ method, path, toStore }) => `${method} ${toStore ? "store" : ""}${path}`);
    return lines.filter((line) => pattern.test(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#store]) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse, toStore: boolean): void {
    const { method = "", url: path = "", headers } = request;
    this.requests.push({ method, path, headers, toStore });
    response.on("error", () => {});
    if (this.intercept?.(request, response, toStore)) return;
    if (toStore) this.#answerFromStore(request, response);
    else this.#answerFromHub(request, response);
  }

  #answerFromHub(request: IncomingMessage, response: ServerResponse): unknown {
    const { pathname } = new URL(request.url ?? "", "http://hub");
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/(revision|paths-info|tree)\/([^/]+))?$/.exec(pathname);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const [, model = "", kind = resolve ? "resolve" : "revision", named = "main"] =
      api ?? (resolve ? [undefined, resolve[1], undefined, resolve[2]] : []);
    const repository = this.#repositories.get(model);
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const mayRead = token !== undefined && this.tokens.get(token)?.includes(model);
    if (token !== undefined && !this.tokens.has(token)) {
      return refuse(response, 401, undefined, "Invalid credentials in Authorization header");
    }
    if (!repository || (repository.access === "private" && !mayRead)) {
      return refuse(response, token === undefined ? 401 : 404, "RepoNotFound", "Repository not found");
    }
    const revision = decodeURIComponent(named);
    const commit = repository.branches.get(revision) ?? revision;
    const files = repository.commits.get(commit);
    if (!files) return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    const isGated = repository.access === "gated";
    if (kind === "revision") {
      const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
      return json(response, {
        id: model,
        modelId: model,
        sha: commit,
        private: false,
        gated: isGated,
        siblings,
        tags: [],
      });
    }
    if (isGated && !mayRead) {
      return refuse(response, token === undefined ? 401 : 403, "GatedRepo", `Access to model ${model} is restricted`);
    }
    if (kind === "tree")
      return json(
        response,
        [...files].map(([path, content]) => entryOf(path, content)),
      );
    if (kind === "paths-info") return this.#answerPathsInfo(request, response, files);
    const path = decodeURIComponent(resolve?.[3] ?? "");
    const content = files.get(path);
    if (!content) return refuse(response, 404, "EntryNotFound", "Entry not found", { "x-repo-commit": commit });
    const { size, oid, lfs } = entryOf(path, content);
    response.setHeader("x-repo-commit", commit);
    if (!lfs) return send(response, request, content, `"${oid}"`);
    response.writeHead(302, {
      location: `${this.storeEndpoint}/${lfs.oid}?signature=of-one-who-asked-the-hub`,
      "x-linked-etag": `"${lfs.oid}"`,
      "x-linked-size": String(size),
    });
    return response.end();
  }

  async #answerPathsInfo(
    request: IncomingMessage,
    response: ServerResponse,
    files: Map<string, Buffer>,
  ): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const text = Buffer.concat(pieces).toString("utf8");
    const isJson = request.headers["content-type"]?.includes("json");
    const paths: string[] = isJson ? JSON.parse(text).paths : new URLSearchParams(text).getAll("paths");
    const found = paths.flatMap((path) => {
      const content = files.get(path);
      return content ? [entryOf(path, content)] : [];
    });
    json(response, found);
  }

  #answerFromStore(request: IncomingMessage, response: ServerResponse): unknown {
    const digest = new URL(request.url ?? "", "http://store").pathname.slice(1);
    const content = this.#contents.get(digest);
    if (!content) return refuse(response, 404, undefined, "no such content");
    const cut = request.method === "GET" ? this.cuts.shift() : undefined;
    // An ETag of its own, as a store's is not the Hub's.
    return send(response, request, content, `"md5-${digest.slice(0, 8)}"`, cut);
  }
}

/** Sends bytes, or the range of them that was asked for. @param cut after so many the connection is destroyed. */
function send(
  response: ServerResponse,
  request: IncomingMessage,
  content: Buffer,
  etag: string,
  cut?: number,
): unknown {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const headers = { etag, "accept-ranges": "bytes", "content-type": "application/octet-stream" };
  if (request.headers.range !== undefined && from >= content.length) {
    return response.writeHead(416, { ...headers, "content-range": `bytes */${content.length}` }).end();
  }
  const body = content.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    ...headers,
    "content-length": body.length,
    ...(from > 0 && { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` }),
  });
  if (request.method === "HEAD") return response.end();
  if (cut === undefined) return response.end(body);
  return response.write(body.subarray(0, cut), () => response.destroy());
}

/** As the Hub describes a file. */
function entryOf(path: string, content: Buffer) {
  const oid = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
  const lfs = LARGE.test(path) ? { oid: sha256(content), size: content.length, pointerSize: 134 } : undefined;
  return { type: "file", path, size: content.length, oid, ...(lfs && { lfs }) };
}

function json(response: ServerResponse, value: unknown): ServerResponse {
  return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

/** Refuses as the Hub does: the reason is in headers. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string | undefined,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  response.writeHead(status, {
    ...headers,
    ...(code !== undefined && { "x-error-code": code }),
    "x-error-message": message,
    "content-type": "application/json",
  });
  return response.end(JSON.stringify({ error: message }));
}

export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
