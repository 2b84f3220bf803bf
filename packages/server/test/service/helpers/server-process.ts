/** `neuron-blip serve` as a process of its own, on a free port of loopback, with the demo's model or another. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Child, type Exit } from "./child.js";
import { freePort, until } from "./ports.js";

export const root = fileURLToPath(new URL("../../../../..", import.meta.url));
export const demoModel = join(root, "demo", "model");

export interface ServerOptions {
  /** Its directory. Default: the demo's. */
  readonly model?: string;
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  readonly port?: number;
  /** Modules of this directory that are loaded before it. */
  readonly preloads?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Memory {
  readonly rss: number;
  /** What is alive after the garbage was collected: on V8's heap, and beside it. */
  readonly heapUsed: number;
  readonly external: number;
}

export class ServerProcess implements AsyncDisposable {
  readonly port: number;
  readonly #child: Child;

  private constructor(port: number, child: Child) {
    this.port = port;
    this.#child = child;
  }

  /** Starts one, and waits until it is ready. */
  static async start({
    model = demoModel,
    args = [],
    port,
    preloads = [],
    env = {},
  }: ServerOptions = {}): Promise<ServerProcess> {
    const own = port ?? (await freePort());
    const imports = ["probe.mjs", ...preloads].flatMap((name) => ["--import", new URL(name, import.meta.url).href]);
    const serve = ["serve", model, "--host", "127.0.0.1", "--port", String(own), ...args];
    const child = new Child(process.execPath, [...imports, join(root, "dist", "cli", "main.js"), ...serve], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, ...env },
    });
    const server = new ServerProcess(own, child);
    try {
      await until(`the server is ready (its output: ${child.output})`, () => {
        if (child.hasEnded) throw new Error(`the server ended before it was ready: ${child.output}`);
        return server.isReady();
      });
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get exit(): Promise<Exit> {
    return this.#child.exit;
  }

  get hasEnded(): boolean {
    return this.#child.hasEnded;
  }

  /** The last part of what it wrote. */
  get output(): string {
    return this.#child.output;
  }

  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`, { headers: { connection: "close" } })).status === 200;
    } catch {
      return false;
    }
  }

  terminate(): void {
    this.#child.process.kill("SIGTERM");
  }

  /** How many descriptors it has open. */
  descriptors(): number {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  rss(): number {
    return kilobytes(readFileSync(`/proc/${this.#child.pid}/status`, "utf8"), "VmRSS") * 1024;
  }

  /** Its memory, after it collected garbage. */
  memory(): Promise<Memory> {
    return this.ask("memory");
  }

  /** The CPU time that it has used so far, in ms. */
  async cpuMs(): Promise<number> {
    const { user, system } = await this.ask<NodeJS.CpuUsage>("cpu");
    return (user + system) / 1000;
  }

  /** Asks what was loaded before the server. */
  ask<T>(question: string): Promise<T> {
    const { process: child, exit } = this.#child;
    const answer = new Promise<T>((resolve) => {
      const listen = (message: { question: string; answer: T }) => {
        if (message.question !== question) return;
        child.off("message", listen);
        resolve(message.answer);
      };
      child.on("message", listen);
      child.send({ question });
    });
    const ended = exit.then(() => {
      throw new Error(`the server ended: ${this.output}`);
    });
    return Promise.race([answer, ended]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

function kilobytes(status: string, name: string): number {
  const [, value] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
  if (value === undefined) throw new Error(`/proc has no ${name}`);
  return Number(value);
}
