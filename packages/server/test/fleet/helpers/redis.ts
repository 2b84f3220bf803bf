/** A Redis of its own, on a free port of loopback, that keeps its data in a file through SIGKILL. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../../service/helpers/child.js";
import { freePort, isListening, until } from "../../service/helpers/ports.js";
import { pathOf } from "../../service/helpers/programs.js";

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), "neuron-blip-redis-"));
  #child: Child | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.restart();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async kill(): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }

  async restart(): Promise<void> {
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#directory];
    const kept = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--save", ""];
    this.#child = new Child(pathOf("redis-server"), [...args, ...kept], { stdio: ["ignore", "pipe", "pipe"] });
    await until("Redis listens", () => isListening(this.port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
