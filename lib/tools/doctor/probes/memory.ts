import type { Probe } from "../examination.js";
import { ok, problem, warning } from "../finding.js";
import { inWords } from "../sizes.js";

/** What Node and libtorch take before any model is loaded: about 150 MB were measured, without what runs take. */
const BASE = 200e6;

/** Memory against what the replicas' weights take. */
export const memory: Probe = {
  id: "memory",
  async run(examination) {
    const { available, total } = await examination.host.memory();
    const model = await examination.model();
    const replicas = examination.options.replicas ?? 1;
    const needed = BASE + (model?.bytes ?? 0) * replicas;
    const details = { available, total, needed, replicas };
    const has = `${inWords(available)} of ${inWords(total)} of memory free`;
    const wants = model
      ? `${replicas === 1 ? "the model takes" : `${replicas} replicas take`} at least ${inWords(needed)}`
      : `libtorch alone takes ${inWords(needed)}`;
    if (needed <= available) return ok("memory", model ? `${has}; ${wants}.` : `${has}.`, details);
    const cure = `${replicas > 1 ? "Load fewer replicas, e" : "E"}nd other programs, or use a host (or a container's limit) with more.`;
    const make = needed > total ? problem : warning;
    return make("memory", `${has}, and ${wants}.`, cure, details);
  },
};
