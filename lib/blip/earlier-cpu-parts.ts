/** Directories that earlier versions compiled for the CPU have further parts, which a checkpoint has made needless. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import type { Manifest } from "./manifest.js";

const ADVICE =
  "Give the directory of the checkpoint that it was compiled from: it runs on the CPU as it is, and as fast.";

/**
 * Tells of the parts for the CPU that a directory's manifest describes, and that are not used any more.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND` where there are no others.
 */
export async function tellOfEarlierCpuParts(directory: string, manifest: Manifest | undefined): Promise<void> {
  if (manifest?.cpu_parts === undefined) return;
  for (const { file } of Object.values(manifest.parts)) {
    if (await stat(join(directory, file)).catch(() => undefined)) continue;
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `"${directory}" was compiled by an earlier version with parts for the CPU, which are not used any more, and the tutorial's part ` +
        `${file} is not there. ${ADVICE}`,
    );
  }
  process.emitWarning(
    `"${directory}" was compiled by an earlier version with parts for the CPU, which are not used any more: the tutorial's, which are ` +
      `slower, run. ${ADVICE}`,
    { type: "NeuronBlipWarning", code: "NEURON_BLIP_CPU_PARTS" },
  );
}
