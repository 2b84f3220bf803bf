import { messageOf } from "../../errors.js";
import { binaryHost } from "../../torch/binary/choose-binary.js";
import type { DoctorId } from "../report/findings.js";
import { Host } from "../report/host.js";
import { type DoctorOptions, Examination } from "./examination.js";
import { about, type Finding, verdictOf } from "./finding.js";
import { addon, blas, libtorch } from "./probes/addon.js";
import { disk, memory, node, platform, threads } from "./probes/host.js";
import { libtorchneuron } from "./probes/libtorchneuron.js";
import { modelConfig, modelFiles, modelManifest, modelSettings } from "./probes/model-files.js";
import { modelNeuron, modelTarget, modelVersions } from "./probes/model-fit.js";
import { coreHolders, coreSettings } from "./probes/neuron-cores.js";
import { neuronDriver, neuronRuntime, neuronTools } from "./probes/neuron-host.js";

/** Looks at one thing. What it throws becomes a finding with its id. */
type Probe = (examination: Examination) => Promise<Finding | readonly Finding[]>;

/** In the order of the report: each needs what those before it look at. */
const PROBES: readonly (readonly [DoctorId, Probe])[] = [
  ["node", node],
  ["platform", platform],
  ["addon", addon],
  ["libtorch", libtorch],
  ["blas", blas],
  ["threads", threads],
  ["memory", memory],
  ["disk", disk],
  ["neuron.driver", neuronDriver],
  ["neuron.runtime", neuronRuntime],
  ["neuron.libtorchneuron", libtorchneuron],
  ["neuron.tools", neuronTools],
  ["neuron.settings", coreSettings],
  ["neuron.cores", coreHolders],
];
const MODEL_PROBES: typeof PROBES = [
  ["model.config", modelConfig],
  ["model.manifest", modelManifest],
  ["model.files", modelFiles],
  ["model.target", modelTarget],
  ["model.versions", modelVersions],
  ["model.neuron", modelNeuron],
  ["model.settings", modelSettings],
];

export interface Report {
  /** Of neuron-blip. */
  readonly version: string;
  /** Such as "linux-x64". */
  readonly host: string;
  /** The worst of the findings. */
  readonly verdict: "ok" | "warning" | "problem";
  readonly findings: readonly Finding[];
}

/**
 * Looks at everything that can keep this host from running, and at a model directory if one is given. Nothing native is loaded
 * into this process, and whatever goes wrong is a finding: this never throws.
 */
export async function examine(options: DoctorOptions = {}, host: Host = new Host()): Promise<Report> {
  const examination = new Examination(host, options);
  const findings: Finding[] = [];
  for (const [id, probe] of options.directory === undefined ? PROBES : [...PROBES, ...MODEL_PROBES]) {
    try {
      findings.push(...[await probe(examination)].flat());
    } catch (error) {
      const what = `This could not be looked at: ${messageOf(error)}.`;
      findings.push(about(id).warning(what, "Run the doctor as a user who may read it, or look at it by hand."));
    }
  }
  const { version } = binaryHost().own();
  return { version, host: `${host.platform}-${host.arch}`, verdict: verdictOf(findings), findings };
}
