/** Child processes that never outlive the tests. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child with what it writes, of which the last part is kept. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly exit: Promise<Exit>;
  #hasEnded = false;
  #output = "";

  constructor(program: string, args: readonly string[], options: SpawnOptions) {
    this.process = spawn(program, args, options);
    running.add(this.process);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-20_000);
      });
    }
    this.exit = once(this.process, "close").then(([code, signal]) => {
      this.#hasEnded = true;
      running.delete(this.process);
      return { code, signal };
    });
    this.exit.catch(() => {});
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.process.spawnfile} did not start`);
    return this.process.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get output(): string {
    return this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hasEnded) return;
    this.process.kill("SIGKILL");
    await this.exit;
  }
}
