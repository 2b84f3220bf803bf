import { join } from "node:path";
import { type Architecture, HEADS } from "../../../blip/heads.js";
import { messageOf, NeuronBlipError } from "../../../errors.js";
import { Executor } from "../../../torch/executor.js";
import type { Tensor } from "../../../torch/tensor.js";
import { TorchModule } from "../../../torch/torch-module.js";
import { type RanOn, type RuntimeFacts, ranOnOf, runtimeFacts } from "../../report/runtime-facts.js";
import { summarize } from "../../report/statistics.js";
import { differenceOf, isWithin, outputOf } from "../differences.js";
import { type Model, type PartFacts, partNamed, readModel } from "../model-facts.js";
import { Reference } from "../reference.js";
import type { Check, PartResult, WholeResult } from "../report.js";
import { failedCheck, type StepContext, type StepInput } from "./step.js";
import { compareWhole } from "./whole.js";

export interface PartsResult {
  readonly runtime: RuntimeFacts;
  readonly ranOn: RanOn | null;
  readonly parts: PartResult[];
  readonly whole: WholeResult | null;
  /** What went wrong on the way, and what is not a figure of a part. */
  readonly checks: Check[];
}

/** Relative to the largest value. Neuron casts: a matrix product in half precision has three digits. */
const TOLERANCES: Readonly<Record<RanOn, number>> = { cpu: 1e-3, neuron: 5e-2, "stand-in": 5e-2 };

const MOST_RUNS = 5000;

/** Loads each part, compares it with what was recorded, and times it; then compares whole answers. */
export async function partsStep(context: StepContext, { threads, seconds }: StepInput): Promise<PartsResult> {
  const { directory, signal, say, keep } = context;
  const runtime = runtimeFacts();
  const model = await readModel(directory);
  const result: { -readonly [K in keyof PartsResult]: PartsResult[K] } = {
    runtime,
    ranOn: null,
    parts: [],
    whole: null,
    checks: [],
  };
  const reference = await readReference(directory, model, result.checks);
  keep(result);
  const executor = new Executor(threads === null ? {} : { threads });
  const modules: TorchModule[] = [];
  try {
    for (const part of partsInOrder(model)) {
      if (signal.aborted) return result;
      say(`${part.name}: loading`);
      try {
        const start = performance.now();
        const module = await TorchModule.load(join(directory, part.file), { executor });
        const loadMs = performance.now() - start;
        modules.push(module);
        // Parts of one model can be of either kind; one on Neuron is enough to say so.
        if (result.ranOn === null || module.usesNeuron) result.ranOn = ranOnOf(module.usesNeuron, runtime);
        if (!reference) continue;
        say(`${part.name}: comparing and timing`);
        const measured = await measure(module, part, reference, { ...context, seconds });
        const tolerance = TOLERANCES[ranOnOf(module.usesNeuron, runtime)];
        const passes = measured.differences.every((difference) => isWithin(difference, tolerance));
        result.parts.push({
          part: part.name,
          usesNeuron: module.usesNeuron,
          loadMs,
          ...measured,
          tolerance,
          status: passes ? "pass" : "fail",
        });
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
      const tolerance = TOLERANCES[result.ranOn];
      result.whole = await compareWhole(directory, reference, threads, tolerance);
    } catch (error) {
      result.checks.push(failedCheck("whole", wordsOf(error)));
    }
  }
  return result;
}

async function readReference(directory: string, model: Model, checks: Check[]): Promise<Reference | undefined> {
  try {
    const reference = await Reference.read(directory, model);
    if (reference.isDescribed === false) {
      checks.push(
        failedCheck(
          "reference",
          "reference.safetensors is not the file that neuron_blip.json describes.",
          "Copy the model directory again, or compile the model again.",
        ),
      );
    }
    return reference;
  } catch (error) {
    const missing = error instanceof NeuronBlipError && error.code === "ARTIFACT_NOT_FOUND";
    checks.push(
      failedCheck(
        "reference",
        missing
          ? "The directory has no reference.safetensors: there is nothing to compare the parts with."
          : wordsOf(error),
        "Compile the model with `npx neuron-blip compile MODEL DIR`, which records inputs and results, and copy the whole directory.",
      ),
    );
    return undefined;
  }
}

/** The parts in the order of loading, which on Neuron decides which core a part lands on; then any others. */
function partsInOrder({ facts, parts }: Model): PartFacts[] {
  const head = HEADS[facts.architecture as Architecture];
  if (parts.length === 0) {
    return head.parts.map(partNamed);
  }
  const order: readonly string[] = [...head.parts, ...head.optionalParts];
  const place = ({ recordedAs }: PartFacts) => (order.indexOf(recordedAs) + 1 || order.length + 1) - 1;
  return [...parts].sort((one, other) => place(one) - place(other));
}

async function measure(
  module: TorchModule,
  part: PartFacts,
  reference: Reference,
  { seconds, signal }: { seconds: number; signal: AbortSignal },
): Promise<Pick<PartResult, "firstRunMs" | "latencyMs" | "differences">> {
  const inputs = part.inputs.map((input) => reference.of(part.recordedAs, "input", input));
  const begin = performance.now();
  const output = await module.forward(inputs);
  const firstRunMs = performance.now() - begin;
  const differences = part.outputs.map((spec, i) =>
    differenceOf(spec.name, outputOf(output, spec.name, i), reference.of(part.recordedAs, "output", spec)),
  );
  return { firstRunMs, differences, latencyMs: summarize(await time(module, inputs, seconds, signal)) };
}

async function time(
  module: TorchModule,
  inputs: readonly Tensor[],
  seconds: number,
  signal: AbortSignal,
): Promise<number[]> {
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

function wordsOf(error: unknown): string {
  return error instanceof NeuronBlipError ? `${error.message} [${error.code}]` : messageOf(error);
}
