import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Child } from "./child.js";

export interface LibraryPlan {
  readonly model: string;
  readonly picturePath: string;
  readonly questions: readonly string[];
  readonly numBeams: number;
  readonly threads: number;
}

export interface Round {
  readonly answers: number;
  readonly ms: number;
  readonly cpuMs: number;
}

/** The library in a process of its own. */
export class LibraryProcess implements AsyncDisposable {
  readonly #child: Child;

  constructor(plan: LibraryPlan) {
    const script = fileURLToPath(new URL("library-process.ts", import.meta.url));
    const args = ["--import", "tsx", script, JSON.stringify(plan)];
    this.#child = new Child(process.execPath, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  }

  /** Answers for so long, for so many callers at a time. */
  async round(callers: number, seconds: number): Promise<Round> {
    const { process: child, exit } = this.#child;
    const answer = once(child, "message").then(([round]) => round as Round);
    child.send({ callers, seconds });
    const ended = exit.then(() => {
      throw new Error(`the library's process ended: ${this.#child.output}`);
    });
    return Promise.race([answer, ended]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}
