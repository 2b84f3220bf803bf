import { basename, join, resolve } from "node:path";
import { readBlipConfig } from "../../blip/blip-config.js";
import type { TensorSpec } from "../../blip/manifest.js";
import { holdsCompiledParts } from "../../blip/model-directory.js";
import { NeuronBlipError } from "../../errors.js";
import { directoryOf } from "../../hub/model-directory.js";
import { isObject, readJsonIfThere } from "../../util/json-file.js";
import type { ModelFacts } from "./report.js";

export type TensorFacts = Pick<TensorSpec, "name" | "shape">;

/** What the manifest says of a part. */
export interface PartFacts {
  /** Such as "vision_model", or "vision_model_batch_4" where there are several batch sizes. */
  readonly name: string;
  /** What its recorded tensors are named by: its name without the batch size. */
  readonly recordedAs: string;
  readonly file: string;
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
}

export interface Model {
  readonly facts: ModelFacts;
  /** In the manifest's order; none where there is no manifest. */
  readonly parts: readonly PartFacts[];
  /** What the manifest says of reference.safetensors. */
  readonly referenceSha256: string | undefined;
}

/**
 * Reads what a model directory says of itself.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`.
 */
export async function readModel(directory: string): Promise<Model> {
  if (!(await holdsCompiledParts(await directoryOf(directory)))) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}" holds no compiled parts, which this compares with what was recorded when they were compiled. ` +
        "`npx neuron-blip doctor DIR` looks at a checkpoint.",
    );
  }
  const { architecture, imageSize } = await readBlipConfig(directory);
  // Read leniently: what is wrong with it, loading the model says.
  const manifest = (await readJsonIfThere(join(directory, "neuron_blip.json"))) ?? {};
  const parts = isObject(manifest.parts) ? manifest.parts : {};
  const source = isObject(manifest.source) ? manifest.source : {};
  const reference = isObject(manifest.reference) ? manifest.reference : {};
  return {
    facts: {
      directory: basename(resolve(directory)),
      architecture,
      target: typeof manifest.target === "string" ? manifest.target : "unknown",
      batchSize: numberOrNull(manifest.batch_size),
      imageSize,
      questionLength: numberOrNull(manifest.question_length),
      answerLength: numberOrNull(manifest.answer_length),
      compilerArgs: Array.isArray(manifest.compiler_args) ? manifest.compiler_args.map(String) : [],
      source: typeof source.model === "string" ? basename(source.model) : null,
      versions: versionsOf(manifest.versions),
    },
    parts: Object.entries(parts).map(([name, part]) => {
      const { file, inputs, outputs } = isObject(part) ? part : {};
      return {
        ...partNamed(name),
        ...(typeof file === "string" && { file: basename(file) }),
        inputs: specsOf(inputs),
        outputs: specsOf(outputs),
      };
    }),
    referenceSha256: typeof reference.sha256 === "string" ? reference.sha256 : undefined,
  };
}

/** A part of which only the name is known. */
export function partNamed(name: string): PartFacts {
  return { name, recordedAs: name.replace(/_batch_\d+$/, ""), file: `${name}.pt`, inputs: [], outputs: [] };
}

function specsOf(specs: unknown): TensorFacts[] {
  if (!Array.isArray(specs)) return [];
  return specs.filter(isObject).map(({ name, shape }) => {
    return { name: String(name), shape: Array.isArray(shape) ? shape.map(Number) : [] };
  });
}

function versionsOf(versions: unknown): Record<string, string | null> {
  if (!isObject(versions)) return {};
  return Object.fromEntries(
    Object.entries(versions).map(([name, version]) => [name, version === null ? null : String(version)]),
  );
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
