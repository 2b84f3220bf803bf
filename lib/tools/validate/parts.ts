import { type FileSpec, readManifest } from "../../blip/manifest.js";
import { NeuronBlipError } from "../../errors.js";
import { Executor } from "../../torch/executor.js";
import type { Tensor } from "../../torch/tensor.js";
import { TorchModule } from "../../torch/torch-module.js";
import { type RanOn, type RuntimeFacts, ranOnOf, runtimeFacts } from "../report/host.js";
import { summarize } from "../report/statistics.js";
import { splitCure, wordsOf } from "../report/words.js";
import { type Check, failedCheck } from "./check.js";
import { differenceOf, isWithin, outputOf } from "./differences.js";
import { type Part, partsOf, readCompiledConfig } from "./model.js";
import { Reference } from "./reference.js";
import type { StepContext, StepInput } from "./step.js";
import { compareWhole, type WholeResult } from "./whole.js";

/** What loading the parts by themselves, and a whole model on one replica, found. */
export interface PartsResult {
  readonly runtime: RuntimeFacts;
  ranOn: RanOn | null;
  readonly parts: PartResult[];
  whole: WholeResult | null;
  /** What went wrong on the way, and what is not a figure of a part. */
  readonly checks: Check[];
}

export type PartResult = Awaited<ReturnType<typeof compareAndTime>>;

/** Relative to the largest value. Neuron casts: a matrix product in half precision has three digits. */
const TOLERANCES: Readonly<Record<RanOn, number>> = { cpu: 1e-3, neuron: 5e-2, "stand-in": 5e-2 };

const MOST_RUNS = 5000;

/** Loads each part, compares it with what was recorded, and times it; then compares whole answers. */
export async function partsStep(context: StepContext, { threads, seconds }: StepInput): Promise<PartsResult> {
  const { directory, signal, say, keep } = context;
  const runtime = runtimeFacts();
  const { architecture } = await readCompiledConfig(directory);
  const manifest = await readManifest(directory, architecture);
  const result: PartsResult = { runtime, ranOn: null, parts: [], whole: null, checks: [] };
  const reference = await readReference(directory, manifest?.reference, result.checks);
  keep(result);
  const executor = new Executor(threads === null ? {} : { threads });
  const modules: TorchModule[] = [];
  try {
    for (const part of partsOf(directory, architecture, manifest)) {
      if (signal.aborted) return result;
      say(`${part.name}: loading`);
      try {
        const start = performance.now();
        const module = await TorchModule.load(part.path, { executor });
        const loadMs = performance.now() - start; // in a fresh process; the first part's includes starting libtorch
        modules.push(module);
        const { usesNeuron } = module;
        const ranOn = ranOnOf(usesNeuron, runtime);
        // Parts of one model can be of either kind; one on Neuron is enough to say so.
        if (result.ranOn === null || usesNeuron) result.ranOn = ranOn;
        if (!reference) continue;
        say(`${part.name}: comparing and timing`);
        const of = { module, part, loadMs, tolerance: TOLERANCES[ranOn] };
        result.parts.push(await compareAndTime(of, reference, seconds, signal));
      } catch (error) {
        result.checks.push(failedCheck(`part.${part.name}`, wordsOf(error)));
      }
      keep(result);
    }
  } finally {
    await Promise.all(modules.map((module) => module.dispose()));
    await executor.close();
  }
  if (reference && result.ranOn && !signal.aborted) {
    say("whole model: comparing");
    try {
      result.whole = await compareWhole(directory, architecture, reference, threads, TOLERANCES[result.ranOn]);
    } catch (error) {
      result.checks.push(failedCheck("whole", wordsOf(error)));
    }
  }
  return result;
}

async function readReference(
  directory: string,
  described: FileSpec | undefined,
  checks: Check[],
): Promise<Reference | undefined> {
  try {
    const reference = await Reference.read(directory, described);
    if (reference.mismatch) checks.push(failedCheck("reference", ...splitCure(reference.mismatch.message)));
    return reference;
  } catch (error) {
    const isMissing = error instanceof NeuronBlipError && error.code === "ARTIFACT_NOT_FOUND";
    const missing = "The directory has no reference.safetensors: there is nothing to compare the parts with.";
    const cure =
      "Compile the model with `npx neuron-blip compile MODEL DIR`, which records inputs and results, and copy the whole directory.";
    checks.push(failedCheck("reference", isMissing ? missing : wordsOf(error), cure));
    return undefined;
  }
}

/** Compares a part with what was recorded, and times it. @param tolerance the largest `relative` that passes. */
async function compareAndTime(
  { module, part, loadMs, tolerance }: { module: TorchModule; part: Part; loadMs: number; tolerance: number },
  reference: Reference,
  seconds: number,
  signal: AbortSignal,
) {
  const { name, recordedAs, inputs: specs, outputs } = part;
  const inputs = specs.map((input) => reference.of(recordedAs, "input", input));
  const begin = performance.now();
  const output = await module.forward(inputs);
  const firstRunMs = performance.now() - begin; // which may still prepare things
  const differences = outputs.map((spec, i) =>
    differenceOf(spec.name, outputOf(output, spec.name, i), reference.of(recordedAs, "output", spec)),
  );
  const latencyMs = summarize(await time(module, inputs, seconds, signal));
  const passes = differences.every((difference) => isWithin(difference, tolerance));
  const status = passes ? ("pass" as const) : ("fail" as const);
  const { usesNeuron } = module;
  return { part: name, usesNeuron, loadMs, firstRunMs, latencyMs, differences, tolerance, status };
}

async function time(module: TorchModule, inputs: readonly Tensor[], seconds: number, signal: AbortSignal) {
  for (let warmUp = 0; warmUp < 3; warmUp++) await module.forward(inputs);
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  do {
    const begin = performance.now();
    await module.forward(inputs);
    times.push(performance.now() - begin);
  } while (performance.now() < end && times.length < MOST_RUNS && !signal.aborted);
  return times;
}
