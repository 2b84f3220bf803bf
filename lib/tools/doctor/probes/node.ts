import { createRequire } from "node:module";
import type { Probe } from "../examination.js";
import { ok, problem } from "../finding.js";
import { compareVersions } from "../versions.js";

export const node: Probe = {
  id: "node",
  async run({ host: { nodeVersion } }) {
    const { engines } = createRequire(import.meta.url)("../../../../package.json") as { engines: { node: string } };
    const oldest = /\d+(\.\d+)*/.exec(engines.node)?.[0] ?? "0";
    const details = { version: nodeVersion, oldest };
    if (compareVersions(nodeVersion, oldest) >= 0) return ok("node", `Node ${nodeVersion}.`, details);
    return problem(
      "node",
      `This is Node ${nodeVersion}, and neuron-blip needs ${oldest} or newer.`,
      "Install a newer Node, from nodejs.org or with a version manager.",
      details,
    );
  },
};
