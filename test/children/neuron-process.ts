import assert from "node:assert/strict";
import { type ChildProcess, fork, type SpawnSyncReturns, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  NeuronBlipError,
  type NeuronBlipErrorCode,
  type NeuronBlipOptions,
  type TorchModuleOptions,
} from "neuron-blip";
import { buildStandIns } from "../../scripts/addon/build-stand-ins.mjs";
import type { NeuronHardware } from "./neuron-hardware.ts";

const script = fileURLToPath(new URL("neuron.mjs", import.meta.url));

interface SentError {
  code: NeuronBlipErrorCode | undefined;
  message: string;
  status: number | undefined;
}

export interface Outcome {
  tokenIds?: number[];
  error?: SentError;
}

/** An event of a NeuronBlip. */
export interface ReplicaEvent {
  event: "replicaFailed" | "replicaReloading" | "replicaReady" | "replicaGivenUp" | "restartRequired";
  replica?: number;
  attempt?: number;
  delayMs?: number;
  error?: SentError;
}

/** A process that lives longer is killed, so that a test that fails does not leave it. */
const LONGEST_MS = 120_000;

let libraries = "";
let cache = "";

/** For `before`: builds the stand-ins, where they are not, and skips the tests on hosts without. */
export async function prepareStandIns(this: Mocha.Context): Promise<void> {
  if (process.platform !== "linux") {
    console.log("    skipped: the Neuron runtime, and so its stand-ins, are for Linux only; CI runs these there");
    this.skip();
  }
  this.timeout(15 * 60_000);
  // Of the libtorch that is tested, where scripts/checks/test-libtorch.mjs has built them.
  libraries = process.env.NEURON_BLIP_STAND_IN_LIBRARIES ?? (await buildStandIns());
  // One for all, so that the library is tried out once.
  cache = mkdtempSync(join(tmpdir(), "neuron-blip-cache-"));
}

/** For `after`. */
export function removeCache(): void {
  if (cache) rmSync(cache, { recursive: true, force: true });
}

/** The environment of a process on a host with that hardware. */
export function neuronEnvironment(
  hardware: NeuronHardware | undefined,
  further: Record<string, string | undefined> = {},
): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("NEURON_") || name === "NEURON_BLIP_ADDON", // the build that is tested
  );
  return {
    ...Object.fromEntries(inherited),
    NEURON_BLIP_LIBTORCHNEURON: libraries,
    NEURON_BLIP_LIBNRT: libraries,
    NEURON_BLIP_CACHE: cache,
    ...(hardware && { NEURON_BLIP_STAND_IN: hardware.directory }),
    ...further,
  };
}

/** A process of its own, since the Neuron runtime is one per process and stays. Its models are named; "blip" by default. */
export class NeuronProcess implements AsyncDisposable {
  readonly events: ReplicaEvent[] = [];
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  #lastCall = 0;
  #stderr = "";
  #arrived: (() => void)[] = [];
  #ended: Promise<unknown[]>;

  constructor(hardware?: NeuronHardware, environment?: Record<string, string | undefined>) {
    this.#child = fork(script, {
      env: neuronEnvironment(hardware, environment),
      execArgv: [],
      silent: true,
      timeout: LONGEST_MS,
    });
    this.#ended = once(this.#child, "exit");
    this.#child.stderr?.on("data", (text) => {
      this.#stderr += text;
    });
    this.#child.stdout?.resume(); // unread, it would keep the tests' process alive
    this.#child.on("message", (message) => this.#receive(message as Message));
    this.#child.on("exit", (code, signal) => this.#fail(`the process ended with ${code ?? signal}: ${this.#stderr}`));
  }

  /** @returns how many replicas there are. */
  load(directory: string, options: NeuronBlipOptions = {}, name = "blip"): Promise<number> {
    return this.#call("load", name, directory, options) as Promise<number>;
  }

  /** Asks that many questions at once. */
  ask(count: number, name = "blip"): Promise<Outcome[]> {
    return this.#call("ask", name, count) as Promise<Outcome[]>;
  }

  /** Looks at picture n, for `stream`. */
  async look(n: number, name = "blip"): Promise<void> {
    await this.#call("look", name, n);
  }

  /** The pieces of the answer to question n. */
  stream(n: number, name = "blip"): Promise<string[]> {
    return this.#call("stream", name, n) as Promise<string[]>;
  }

  async dispose(name = "blip"): Promise<void> {
    await this.#call("dispose", name);
  }

  /** @returns whether it was compiled for Neuron. */
  loadModule(path: string, options: Omit<TorchModuleOptions, "executor"> = {}): Promise<boolean> {
    return this.#call("loadModule", path, options) as Promise<boolean>;
  }

  usesNeuron(path: string): Promise<boolean> {
    return this.#call("usesNeuron", path) as Promise<boolean>;
  }

  setNeuronCores(path: string, start: number, count = 1): Promise<boolean> {
    return this.#call("setNeuronCores", path, start, count) as Promise<boolean>;
  }

  /** Gives a loaded module zeros of that shape. */
  async forward(path: string, shape: number[]): Promise<void> {
    await this.#call("forward", path, shape);
  }

  /** Loads a model in a Worker, asks, and disposes of it. */
  worker(directory: string, options: NeuronBlipOptions, count: number): Promise<Outcome[]> {
    return this.#call("worker", directory, options, count) as Promise<Outcome[]>;
  }

  /** Resolves when so many events of that name have come. */
  async until(name: ReplicaEvent["event"], count = 1): Promise<void> {
    while (this.events.filter(({ event }) => event === name).length < count) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`it ended: ${this.#stderr}`);
      await new Promise<void>((resolve) => this.#arrived.push(resolve));
    }
  }

  /** Lets go of the process, which must then end by itself, with 0. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const [code, signal] = await this.#ended;
    assert.equal(code ?? signal, 0, this.#stderr);
  }

  /** For `await using`: ends the process also where a test failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    await this.#ended;
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  #call(method: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#child.send({ id, method, args }, (error) => error && reject(error));
    });
  }

  #receive(message: Message): void {
    if ("event" in message) {
      this.events.push(message);
      for (const resume of this.#arrived.splice(0)) resume();
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.error) call?.reject(toError(message.error));
    else call?.resolve(message.value);
  }

  #fail(reason: string): void {
    for (const { reject } of this.#calls.values()) reject(new Error(reason));
    this.#calls.clear();
    for (const resume of this.#arrived.splice(0)) resume();
  }
}

/** Runs a script of this directory, which ends by itself. */
export function runToEnd(hardware: NeuronHardware, [name = "", ...args]: string[]): SpawnSyncReturns<string> {
  const path = fileURLToPath(new URL(name, import.meta.url));
  return spawnSync(process.execPath, [path, ...args], {
    encoding: "utf8",
    env: neuronEnvironment(hardware),
    timeout: LONGEST_MS,
    killSignal: "SIGKILL",
  });
}

type Message = ReplicaEvent | { id: number; value?: unknown; error?: SentError };

export function toError({ code, message, status }: SentError): Error {
  return code === undefined ? new Error(message) : new NeuronBlipError(code, message, { status });
}

/** The tokens of every answer. @throws the first error among them. */
export function tokensOf(outcomes: readonly Outcome[]): number[][] {
  return outcomes.map(({ tokenIds, error }) => {
    if (tokenIds === undefined) throw toError(error as SentError);
    return tokenIds;
  });
}
