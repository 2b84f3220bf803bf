/** `neuron-blip work` as a process of its own, with the demo's model. */
import { join } from "node:path";
import { Child } from "../../service/helpers/child.js";
import { demoModel, root } from "../../service/helpers/server-process.js";

export interface WorkerOptions {
  readonly queue: string;
  /** Its directory. Default: the demo's. */
  readonly model?: string;
  readonly args?: readonly string[];
  /** Modules of this directory that are loaded before it. */
  readonly preloads?: readonly string[];
}

/** Starts one. Its jobs are another's a second after it was killed. */
export function startWorker({ queue, model = demoModel, args = [], preloads = [] }: WorkerOptions): Child {
  const imports = preloads.flatMap((name) => ["--import", new URL(name, import.meta.url).href]);
  const work = ["work", model, "--queue", queue, "--threads", "1", "--lock", "1000", ...args];
  return new Child(process.execPath, [...imports, join(root, "dist", "cli", "main.js"), ...work], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** As a supervisor: as many as are wanted, each started anew where it ended. */
export class Supervisor implements AsyncDisposable {
  readonly #startWorker: () => Child;
  readonly #workers: Child[] = [];
  #isOver = false;
  /** How many have ended by themselves or were killed. */
  ended = 0;

  /** @param worker the options of `neuron-blip work`, or what starts another worker. */
  constructor(worker: WorkerOptions | (() => Child), count: number) {
    this.#startWorker = typeof worker === "function" ? worker : () => startWorker(worker);
    for (let i = 0; i < count; i++) this.#start(i);
  }

  /** Ends one as the kernel would. */
  kill(index: number): void {
    this.#workers[index]?.process.kill("SIGKILL");
  }

  get output(): string {
    return this.#workers.map(({ output }) => output).join("\n");
  }

  #start(index: number): void {
    const worker = this.#startWorker();
    this.#workers[index] = worker;
    void worker.exit.then(() => {
      this.ended++;
      if (!this.#isOver) this.#start(index);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}
