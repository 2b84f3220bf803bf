import type { Probe } from "../examination.js";
import { addon } from "./addon.js";
import { blas } from "./blas.js";
import { coreHolders } from "./core-holders.js";
import { coreSettings } from "./core-settings.js";
import { disk } from "./disk.js";
import { libtorch } from "./libtorch.js";
import { libtorchneuron } from "./libtorchneuron.js";
import { memory } from "./memory.js";
import { modelConfig, modelFiles, modelManifest, modelSettings } from "./model-directory.js";
import { modelNeuron } from "./model-neuron.js";
import { modelTarget, modelVersions } from "./model-target.js";
import { neuronDriver } from "./neuron-driver.js";
import { neuronRuntime } from "./neuron-runtime.js";
import { neuronTools } from "./neuron-tools.js";
import { node } from "./node.js";
import { platform } from "./platform.js";
import { threads } from "./threads.js";

/** In the order of the report: each needs what those before it look at. */
export const PROBES: readonly Probe[] = [
  node,
  platform,
  addon,
  libtorch,
  blas,
  threads,
  memory,
  disk,
  neuronDriver,
  neuronRuntime,
  libtorchneuron,
  neuronTools,
  coreSettings,
  coreHolders,
  modelConfig,
  modelManifest,
  modelFiles,
  modelTarget,
  modelVersions,
  modelNeuron,
  modelSettings,
];
