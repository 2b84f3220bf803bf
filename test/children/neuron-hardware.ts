import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A line of events.log: test/stand-ins/README.md. */
export interface NeuronEvent {
  event: string;
  core: number;
  model: string;
  /** Of an end. */
  status: number | undefined;
}

export interface NeuronHardwareOptions {
  /** Default 2. */
  cores?: number;
  /** How long a call takes. Default 0. */
  latencyMs?: number;
  /** How much of that holds the core. Default: all. */
  exclusiveMs?: number;
}

/** The pretended hardware of the stand-in for the Neuron runtime: a directory of its own. */
export class NeuronHardware implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "neuron-blip-hardware-"));

  constructor({ cores = 2, latencyMs = 0, exclusiveMs = latencyMs }: NeuronHardwareOptions = {}) {
    this.#write("cores", cores);
    this.#write("latency_ms", latencyMs);
    this.#write("exclusive_ms", exclusiveMs);
    this.#write("log_events", "");
  }

  /** The next `count` calls on a core fail with a status; without a count, all until `mend`. */
  fail(core: number, status: number, count = -1): void {
    this.#write(`core-${core}.fault`, `${status} ${count}`);
  }

  /** As `fail`, of loads. */
  failLoads(core: number, status: number, count = -1): void {
    this.#write(`core-${core}.load_fault`, `${status} ${count}`);
  }

  /** The next call on a core takes so long. */
  hang(core: number, ms: number): void {
    this.#write(`core-${core}.hang_ms`, ms);
  }

  mend(): void {
    for (const core of [0, 1, 2, 3]) {
      for (const kind of ["fault", "load_fault"]) rmSync(join(this.directory, `core-${core}.${kind}`), { force: true });
    }
  }

  /** What was done, in order. */
  events(): NeuronEvent[] {
    const log = join(this.directory, "events.log");
    if (!existsSync(log)) return [];
    return readFileSync(log, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [, event = "", core, model = "", status] = line.split(" ");
        return { event, core: Number(core), model, status: status === undefined ? undefined : Number(status) };
      });
  }

  /** The cores that calls were made on, increasing. */
  usedCores(): number[] {
    return [...new Set(this.events().flatMap(({ event, core }) => (event === "begin" ? [core] : [])))].sort();
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #write(name: string, content: string | number): void {
    const path = join(this.directory, name);
    writeFileSync(`${path}.new`, `${content}`);
    renameSync(`${path}.new`, path);
  }
}
