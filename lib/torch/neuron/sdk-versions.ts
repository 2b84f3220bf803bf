import { readFileSync } from "node:fs";
import { packageFile } from "../../util/package-file.js";

/** The versions of AWS Neuron that this project is for. */
export interface SdkVersions {
  readonly sdk: string;
  readonly torch: string;
  readonly torch_minor: string;
  /** The oldest glibc that its torch-neuronx runs with. */
  readonly glibc: string;
  /** Ubuntu's. */
  readonly systems: readonly string[];
  /** The Python environment of AWS's images. */
  readonly environment: string;
  readonly image: string;
  readonly image_dates: readonly string[];
  /** What newer torch-neuronx are. */
  readonly newer_torch: string;
  readonly pip: Readonly<Record<"torch-neuronx" | "neuronx-cc", string>>;
  readonly apt: Readonly<
    Record<"aws-neuronx-dkms" | "aws-neuronx-runtime-lib" | "aws-neuronx-collectives" | "aws-neuronx-tools", string>
  >;
  /** A driver of that version or newer needs a runtime library of that version or newer. */
  readonly driver_needs_runtime: { readonly driver: string; readonly runtime: string };
}

let versions: SdkVersions | undefined;

/**
 * Reads scripts/compile/neuron-versions.json, which the Python scripts read too: at the first call, not when this module is loaded.
 * A bundle has no such file, and has to say so by a clear error of what was called.
 * @throws NeuronBlipError `BUNDLED`
 */
export function sdkVersions(): SdkVersions {
  versions ??= JSON.parse(readFileSync(packageFile("../scripts/compile/neuron-versions.json"), "utf8")) as SdkVersions;
  return versions;
}

/** Writes the command `sudo apt-get install` of packages, in the versions of the SDK. */
export function aptInstall(...packages: (keyof SdkVersions["apt"])[]): string {
  return `sudo apt-get install ${packages.map((name) => `${name}=${sdkVersions().apt[name]}`).join(" ")}`;
}
