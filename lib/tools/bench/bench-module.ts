import { access } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { NeuronBlipError } from "../../errors.js";
import { Executor } from "../../torch/executor.js";
import type { Tensor } from "../../torch/tensor.js";
import { TorchModule } from "../../torch/torch-module.js";
import { readJsonIfThere } from "../../util/json-file.js";
import { hostFacts } from "../report/host-facts.js";
import { ranOnOf, ranOnWords, runtimeFacts } from "../report/runtime-facts.js";
import { summarize } from "../report/statistics.js";
import { type InputSpec, inputsInManifest, makeInput, shapesFor } from "./input-specs.js";
import { type BatchResult, BENCH_VERSION, type BenchReport, isMeasured } from "./report.js";

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

interface Contender {
  readonly batchSize: number;
  readonly file: string;
  readonly shapes: readonly (readonly number[])[];
  readonly module: TorchModule;
  readonly inputs: readonly Tensor[];
  readonly firstRunMs: number;
  readonly times: number[];
}

/**
 * Times a TorchScript file's `forward` at several batch sizes, which take turns, so that what the machine does otherwise falls
 * on all alike. A batch size that the file was compiled for separately (`NAME_batch_N.pt` beside it) runs on that file.
 * @returns a result for each batch size; one that the module refuses has the reason instead of times.
 * @throws NeuronBlipError `INVALID_INPUT` where nothing says what the file takes; as `TorchModule.load`; what every batch size
 * was refused for.
 */
export async function benchModule(path: string, options: BenchOptions): Promise<BenchReport> {
  const { batchSizes, threads, calls = 50 } = options;
  const startedAt = new Date().toISOString();
  const manifest = await readJsonIfThere(join(dirname(path), "neuron_blip.json"));
  const executor = new Executor(threads === undefined ? {} : { threads });
  const modules = new Map<string, TorchModule>();
  const load = async (file: string) => {
    const module = modules.get(file) ?? (await TorchModule.load(join(dirname(path), file), { executor }));
    modules.set(file, module);
    return module;
  };
  try {
    const own = await load(basename(path));
    const inputs = options.inputs ?? inputsInManifest(manifest, basename(path));
    if (inputs === undefined) throw unknownInputs(path, own);
    const { question_length: length = DEFAULT_LENGTH } = manifest ?? {};
    const contenders: Contender[] = [];
    const failures = new Map<number, BatchResult>();
    const errors: unknown[] = [];
    for (const batchSize of batchSizes) {
      const file = await fileFor(path, batchSize);
      const shapes = shapesFor(inputs, batchSize, typeof length === "number" ? length : DEFAULT_LENGTH);
      const tensors = inputs.map((input, i) => makeInput(input, shapes[i] ?? []));
      try {
        const module = await load(file);
        const firstRunMs = await timeOf(module, tensors);
        for (let i = 1; i < WARM_UP_RUNS; i++) await timeOf(module, tensors);
        contenders.push({ batchSize, file, shapes, module, inputs: tensors, firstRunMs, times: [] });
      } catch (error) {
        if (!(error instanceof NeuronBlipError)) throw error;
        errors.push(error);
        failures.set(batchSize, { batchSize, file, code: error.code, problem: error.message });
      }
    }
    if (contenders.length === 0) throw errors[0];
    for (let call = 0; call < calls; call++) {
      for (let i = 0; i < contenders.length; i++) {
        const { module, inputs: tensors, times } = contenders[(i + call) % contenders.length] as Contender;
        times.push(await timeOf(module, tensors));
      }
    }
    const measured = new Map(contenders.map((contender) => [contender.batchSize, resultOf(contender)]));
    const results = batchSizes.map((size) => (measured.get(size) ?? failures.get(size)) as BatchResult);
    const runtime = runtimeFacts();
    return {
      version: BENCH_VERSION,
      startedAt,
      file: basename(path),
      ranOn: ranOnWords(ranOnOf(own.usesNeuron, runtime)),
      host: hostFacts(),
      versions: { ...runtime, node: process.versions.node },
      threads: threads ?? null,
      calls,
      inputs,
      results,
    };
  } finally {
    await Promise.all([...modules.values()].map((module) => module.dispose()));
    await executor.close();
  }
}

/** The batch size with the most rows in a second; undefined where none ran. */
export function fastest({ results }: BenchReport): number | undefined {
  const measured = results.filter(isMeasured);
  return measured.sort((one, other) => other.rowsPerSecond - one.rowsPerSecond)[0]?.batchSize;
}

async function fileFor(path: string, batchSize: number): Promise<string> {
  const own = basename(path);
  const compiled = own.replace(/(_batch_\d+)?\.pt$/, `_batch_${batchSize}.pt`);
  const isThere = await access(join(dirname(path), compiled)).then(
    () => true,
    () => false,
  );
  return isThere ? compiled : own;
}

async function timeOf(module: TorchModule, inputs: readonly Tensor[]): Promise<number> {
  const start = performance.now();
  await module.forward(inputs);
  return performance.now() - start;
}

function resultOf({ batchSize, file, shapes, firstRunMs, times }: Contender): BatchResult {
  const latencyMs = summarize(times);
  return { batchSize, file, shapes, firstRunMs, latencyMs, rowsPerSecond: (1000 * batchSize) / (latencyMs.mean ?? 0) };
}

function unknownInputs(path: string, { signature }: TorchModule): NeuronBlipError {
  const { inputs } = signature;
  const names = inputs.map(({ name }) => name).join(", ");
  return new NeuronBlipError(
    "INVALID_INPUT",
    `No neuron_blip.json beside "${path}" says what it takes. Give ${inputs.length === 1 ? `its input (${names})` : `each of its ${inputs.length} inputs (${names})`} with ` +
      "--input, in this order, such as --input 1x3x224x224:float32.",
  );
}
