import { basename, join, resolve } from "node:path";
import { type BlipConfig, readBlipConfig } from "../../blip/blip-config.js";
import { type Architecture, HEADS } from "../../blip/heads.js";
import type { Manifest, TensorSpec } from "../../blip/manifest.js";
import { holdsCompiledParts } from "../../blip/model-directory.js";
import { NeuronBlipError } from "../../errors.js";
import { directoryOf } from "../../hub/model-directory.js";

/** A part to be compared with what was recorded. */
export interface Part {
  /** Such as "vision_model", or "vision_model_batch_4" where there are several batch sizes. */
  readonly name: string;
  /** What its recorded tensors are named by: its name without the batch size. */
  readonly recordedAs: string;
  readonly path: string;
  /** None where there is no manifest. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/**
 * Reads the config.json of a directory of compiled parts.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`.
 */
export async function readCompiledConfig(directory: string): Promise<BlipConfig> {
  if (await holdsCompiledParts(await directoryOf(directory))) return readBlipConfig(directory);
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${directory}" holds no compiled parts, which this compares with what was recorded when they were compiled. ` +
      "`npx neuron-blip doctor DIR` looks at a checkpoint.",
  );
}

/** Lists the parts in the order of loading, which on Neuron decides which core a part lands on. */
export function partsOf(directory: string, architecture: Architecture, manifest: Manifest | undefined): Part[] {
  const { parts } = HEADS[architecture];
  const specs = Object.entries(manifest?.parts ?? Object.fromEntries(parts.map((name) => [name, undefined])));
  return specs.map(([name, spec]) => {
    const { file = `${name}.pt`, inputs = [], outputs = [] } = spec ?? {};
    const recordedAs = name.replace(/_batch_\d+$/, "");
    return { name, recordedAs, path: join(directory, basename(file)), inputs, outputs };
  });
}

/** Describes a model for the report; null is what no manifest tells. */
export function factsOf(directory: string, config: BlipConfig, manifest: Manifest | undefined) {
  const { target = "unknown", compiler_args: compilerArgs = [], source, versions = {} } = manifest ?? {};
  return {
    /** Its name, without the way to it. */
    directory: basename(resolve(directory)),
    architecture: config.architecture,
    target,
    batchSize: manifest?.batch_size ?? null,
    imageSize: config.imageSize,
    questionLength: manifest?.question_length ?? null,
    answerLength: manifest?.answer_length ?? null,
    compilerArgs,
    source: source?.model === undefined ? null : basename(source.model),
    versions,
  };
}
