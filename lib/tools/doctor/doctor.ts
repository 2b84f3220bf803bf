import { createRequire } from "node:module";
import { messageOf } from "../../errors.js";
import { type DoctorOptions, Examination, type Probe } from "./examination.js";
import { type Finding, verdictOf, warning } from "./finding.js";
import { Host } from "./host.js";
import { PROBES } from "./probes/index.js";

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
  for (const probe of PROBES) {
    if (probe.ofModel && options.directory === undefined) continue;
    findings.push(...(await runAlone(probe, examination)));
  }
  const { version } = createRequire(import.meta.url)("../../../package.json") as { version: string };
  return { version, host: `${host.platform}-${host.arch}`, verdict: verdictOf(findings), findings };
}

async function runAlone(probe: Probe, examination: Examination): Promise<readonly Finding[]> {
  try {
    return [await probe.run(examination)].flat() as readonly Finding[];
  } catch (error) {
    const what = `This could not be looked at: ${messageOf(error)}.`;
    return [warning(probe.id, what, "Run the doctor as a user who may read it, or look at it by hand.")];
  }
}
