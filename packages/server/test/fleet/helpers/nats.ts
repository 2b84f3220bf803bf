/** A NATS server of its own with JetStream, on a free port of loopback. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../../service/helpers/child.js";
import { freePort, isListening, until } from "../../service/helpers/ports.js";
import { pathOf } from "../../service/helpers/programs.js";

export class NatsServer implements AsyncDisposable {
  readonly url: string;
  readonly #child: Child;
  readonly #directory: string;

  private constructor(port: number, child: Child, directory: string) {
    this.url = `nats://127.0.0.1:${port}`;
    this.#child = child;
    this.#directory = directory;
  }

  static async start(): Promise<NatsServer> {
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-nats-"));
    const args = ["--addr", "127.0.0.1", "--port", String(port), "--jetstream", "--store_dir", directory];
    const child = new Child(pathOf("nats-server"), args, { stdio: ["ignore", "pipe", "pipe"] });
    const server = new NatsServer(port, child, directory);
    try {
      await until("NATS listens", () => isListening(port));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
