import type { FindPackage } from "./platform-packages.js";

/** What is looked at to choose a binary; tests make it up. */
export interface BinaryHost {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The directory below which /opt and /dev are looked at. */
  readonly root: string;
  /** Such as "linux-x64". */
  readonly platform: string;
  /** @throws NeuronBlipError `BUNDLED` where this package is inside a bundle, so that there is nothing to look at. */
  readonly own: () => OwnPackage;
}

/** This package, as it is installed. */
export interface OwnPackage {
  readonly directory: string;
  readonly version: string;
  readonly findPackage: FindPackage;
}
