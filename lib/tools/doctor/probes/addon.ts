import type { Probe } from "../examination.js";
import { ok, problem } from "../finding.js";
import { asProblem } from "./as-problem.js";

export const addon: Probe = {
  id: "addon",
  async run(examination) {
    const { decision, answer } = await examination.addon();
    const passedOver = decision.passedOver.map((line) => ` ${line}`).join("");
    const { chosen, error } = decision;
    if (chosen === undefined) {
      return asProblem("addon", error?.message ?? "", "Run `npx neuron-blip build`.", {
        passedOver: decision.passedOver,
      });
    }
    const { addon: path, why } = chosen;
    if (answer === undefined) {
      const what = `The native addon is not built (no "${path}", and ${why}).`;
      return problem("addon", what, "Run `npx neuron-blip build`.", {
        path,
        why,
      });
    }
    if (answer.ok) {
      const details = { path, why, passedOver: decision.passedOver };
      return ok("addon", `The native addon loads ("${path}": ${why}).${passedOver}`, details);
    }
    const { how, reason } = answer;
    const details = { path, why, how, reason };
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
