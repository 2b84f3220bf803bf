import type { CompiledPart } from "../torch/compiled-part.js";
import type { Executor } from "../torch/executor.js";
import type { BlipConfig } from "./blip-config.js";
import type { PartName } from "./heads.js";
import type { Manifest } from "./manifest.js";

/** A compiled model directory's parts, loaded on one thread. */
export interface LoadedParts {
  readonly kind: "compiled";
  readonly directory: string;
  readonly config: BlipConfig;
  readonly manifest: Manifest | undefined;
  readonly executor: Executor;
  readonly parts: ReadonlyMap<PartName, CompiledPart>;
}
