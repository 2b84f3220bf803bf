import type { Probe } from "../examination.js";
import { ok, problem } from "../finding.js";

export const addon: Probe = {
  id: "addon",
  async run(examination) {
    const { path, built, answer } = await examination.addon();
    if (!built || answer === undefined) {
      return problem(
        "addon",
        `The native addon is not built (no "${path}"): the package manager may have skipped the install script.`,
        "Run `npx neuron-blip build`.",
        { path },
      );
    }
    if (answer.ok) return ok("addon", `The native addon loads ("${path}").`, { path });
    const { how, reason } = answer;
    const details = { path, how, reason };
    if (answer.how !== "failed") {
      return problem(
        "addon",
        `The native addon cannot be loaded: ${reason} ("${path}").`,
        "Run `npx neuron-blip build --force`. If it crashes again, set NEURON_BLIP_LIBTORCH to another libtorch and build again.",
        details,
      );
    }
    if (/version `?GLIBC(XX)?_/.test(reason)) {
      return problem(
        "addon",
        `The native addon was built on a newer system than this one: ${reason}`,
        "Build it on this system, or on one with the same glibc: `npx neuron-blip build --force`.",
        details,
      );
    }
    const lacking = /(lib[\w.+-]+): cannot open shared object/.exec(reason)?.[1];
    const cure =
      answer.code === "LIBTORCH_NOT_FOUND"
        ? "Run `npx neuron-blip build`: it builds with the libtorch that this host has."
        : lacking !== undefined
          ? `Install what brings ${lacking}, or build with another libtorch: \`npx neuron-blip build --force\`.`
          : "Run `npx neuron-blip build --force`.";
    return problem("addon", withoutCure(reason), cure, details);
  },
};

/** The addon's own messages end with the command that is given as the cure. */
function withoutCure(reason: string): string {
  return reason.replace(/ Run `npx neuron-blip build[^`]*`.*$/s, "");
}
