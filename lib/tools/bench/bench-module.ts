import { basename, dirname, join } from "node:path";
import { readManifest } from "../../blip/manifest.js";
import { NeuronBlipError } from "../../errors.js";
import { Executor } from "../../torch/executor.js";
import type { Tensor } from "../../torch/tensor.js";
import { TorchModule } from "../../torch/torch-module.js";
import { isThere } from "../../util/files.js";
import { Host, RAN_ON, ranOnOf, runtimeFacts } from "../report/host.js";
import { summarize } from "../report/statistics.js";
import { type InputSpec, makeInput, shapesFor } from "./input-specs.js";

/** The version of the JSON that `neuron-blip bench` writes; raised when a field changes its meaning. */
const BENCH_VERSION = 1;

/** What a module did at each batch size; times in milliseconds. */
export type BenchReport = Awaited<ReturnType<typeof benchModule>>;
export type MeasuredBatch = ReturnType<typeof resultOf>;
type FailedBatch = { batchSize: number; file: string; code: string; problem: string };

export interface BenchOptions {
  readonly batchSizes: readonly number[];
  /** What the file takes, where no manifest beside it says so. */
  readonly inputs?: readonly InputSpec[];
  /** Default: all cores. */
  readonly threads?: number;
  /** Timed runs of each batch size. Default 50. */
  readonly calls?: number;
}

/** Runs before those that count: the first ones may still optimise the module's graph. */
const WARM_UP_RUNS = 4;
/** Of a text, where the manifest says none. */
const DEFAULT_LENGTH = 16;

/** A batch size that is measured. */
interface Contender {
  readonly batchSize: number;
  /** Which file runs: that of this batch size, where there is one. */
  readonly file: string;
  readonly shapes: readonly (readonly number[])[];
  /** The very first run, which may still prepare things. */
  readonly firstRunMs: number;
  readonly module: TorchModule;
  readonly tensors: readonly Tensor[];
  readonly times: number[];
}

/**
 * Times a TorchScript file's `forward` at several batch sizes, which take turns, so that what the machine does otherwise falls
 * on all alike. A batch size that the file was compiled for separately (`NAME_batch_N.pt` beside it) runs on that file.
 * @returns a result for each batch size; one that the module refuses has the reason instead of times.
 * @throws NeuronBlipError `INVALID_INPUT` where nothing says what the file takes; as `TorchModule.load`; what every batch size
 * was refused for.
 */
export async function benchModule(path: string, options: BenchOptions) {
  const { batchSizes, threads, calls = 50 } = options;
  const startedAt = new Date().toISOString();
  const executor = new Executor(threads === undefined ? {} : { threads });
  const modules = new Map<string, TorchModule>();
  const load = async (file: string) => {
    const module = modules.get(file) ?? (await TorchModule.load(join(dirname(path), file), { executor }));
    modules.set(file, module);
    return module;
  };
  try {
    const own = await load(basename(path));
    const { inputs, length } = await inputsOf(path, own, options.inputs);
    const batches: (Contender | FailedBatch)[] = [];
    const errors: unknown[] = [];
    for (const batchSize of batchSizes) {
      const file = await fileFor(path, batchSize);
      const shapes = shapesFor(inputs, batchSize, length);
      const tensors = inputs.map((input, i) => makeInput(input, shapes[i] ?? []));
      try {
        const module = await load(file);
        const firstRunMs = await timeOf(module, tensors);
        for (let i = 1; i < WARM_UP_RUNS; i++) await timeOf(module, tensors);
        batches.push({ batchSize, file, shapes, firstRunMs, module, tensors, times: [] });
      } catch (error) {
        if (!(error instanceof NeuronBlipError)) throw error;
        errors.push(error);
        batches.push({ batchSize, file, code: error.code, problem: error.message });
      }
    }
    const contenders = batches.filter((batch) => "times" in batch);
    if (contenders.length === 0) throw errors[0];
    for (let call = 0; call < calls; call++) {
      const first = call % contenders.length;
      for (const { module, tensors, times } of [...contenders.slice(first), ...contenders.slice(0, first)]) {
        times.push(await timeOf(module, tensors));
      }
    }
    const runtime = runtimeFacts();
    return {
      version: BENCH_VERSION,
      startedAt,
      file: basename(path),
      ranOn: RAN_ON[ranOnOf(own.usesNeuron, runtime)],
      host: await new Host().facts(),
      versions: { ...runtime, node: process.versions.node },
      /** null: all cores. */
      threads: threads ?? null,
      calls,
      inputs,
      results: batches.map((batch) => ("times" in batch ? resultOf(batch) : batch)),
    };
  } finally {
    await Promise.all([...modules.values()].map((module) => module.dispose()));
    await executor.close();
  }
}

/** Finds what a file takes, as it was given or as the manifest beside it says, and the length of its texts. */
async function inputsOf(path: string, { signature }: TorchModule, given: readonly InputSpec[] | undefined) {
  if (given) return { inputs: given, length: DEFAULT_LENGTH };
  const manifest = await readManifest(dirname(path));
  const part = Object.values(manifest?.parts ?? {}).find(({ file }) => file === basename(path));
  if (part) return { inputs: part.inputs, length: manifest?.question_length ?? DEFAULT_LENGTH };
  const names = signature.inputs.map(({ name }) => name).join(", ");
  const count = signature.inputs.length;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `No neuron_blip.json beside "${path}" says what it takes. Give ${count === 1 ? "its input" : `each of its ${count} inputs`} (${names}) with ` +
      "--input, in this order, such as --input 1x3x224x224:float32.",
  );
}

async function fileFor(path: string, batchSize: number): Promise<string> {
  const compiled = basename(path).replace(/(_batch_\d+)?\.pt$/, `_batch_${batchSize}.pt`);
  return (await isThere(join(dirname(path), compiled))) ? compiled : basename(path);
}

async function timeOf(module: TorchModule, inputs: readonly Tensor[]): Promise<number> {
  const start = performance.now();
  await module.forward(inputs);
  return performance.now() - start;
}

function resultOf({ batchSize, file, shapes, firstRunMs, times }: Contender) {
  const latencyMs = summarize(times);
  const rowsPerSecond = (1000 * batchSize) / (latencyMs.mean ?? 0); // one call after another
  return { batchSize, file, shapes, firstRunMs, latencyMs, rowsPerSecond };
}
