import type { Probe } from "../examination.js";
import { type Finding, ok, warning } from "../finding.js";

/** The cores, and what tells OpenMP, libtorch's threads, how many of them to use. */
export const threads: Probe = {
  id: "threads",
  async run(examination) {
    const { host } = examination;
    const { answer } = await examination.addon();
    const runtimes = answer?.ok
      ? answer.value.libraries.filter((path) => /lib(gomp|iomp5|omp)[-.\w]*\.(so|dylib)/.test(path))
      : [];
    const quota = await host.coreQuota();
    const { cores } = host;
    const setting = host.env.OMP_NUM_THREADS;
    const details = { cores, quota, ompNumThreads: setting, runtimes };
    const usable = Math.max(1, Math.min(cores, Math.floor(quota ?? cores)));
    const first = Number(/^\s*(\d+)\s*(,|$)/.exec(setting ?? "")?.[1]);

    const findings: Finding[] = [];
    const add = (what: string, cure: string) => findings.push(warning("threads", what, cure, details));
    if (setting !== undefined && !(first > 0)) {
      add(
        `OMP_NUM_THREADS is "${setting}", which is no number of threads; OpenMP ignores it.`,
        `Set it to a whole number of 1 or more, such as ${usable}, or unset it.`,
      );
    } else if (first > usable) {
      add(
        `OMP_NUM_THREADS is ${first}, and ${usable} ${usable === 1 ? "core" : "cores"} can be used: threads take them from each other.`,
        `Set it to ${usable} or less, or unset it.`,
      );
    } else if (quota !== undefined && quota < cores && setting === undefined) {
      add(
        `This container may use ${quota} of the ${cores} cores that it sees; libtorch starts a thread for each that it sees.`,
        `Set OMP_NUM_THREADS=${usable}, or give fromPretrained the option threads.`,
      );
    }
    if (runtimes.length > 1) {
      add(
        `libtorch brings several OpenMP libraries (${runtimes.join(", ")}), each with threads of its own.`,
        "Build with another libtorch: `NEURON_BLIP_LIBTORCH=… npx neuron-blip build`.",
      );
    }
    if (findings.length > 0) return findings;
    const set = setting === undefined ? "" : ` OMP_NUM_THREADS is ${setting}.`;
    return ok("threads", `${cores} ${cores === 1 ? "core" : "cores"}.${set}`, details);
  },
};
