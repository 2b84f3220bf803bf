import type { Probe } from "../examination.js";
import { ok, problem, warning } from "../finding.js";

export const platform: Probe = {
  id: "platform",
  async run({ host: { platform: system, arch, glibc } }) {
    const details = { platform: system, arch, glibc: glibc ?? null };
    if (system !== "linux" && system !== "darwin") {
      return problem(
        "platform",
        `This is ${system}, and neuron-blip runs on Linux and macOS.`,
        "Use Linux, for instance in a container.",
        details,
      );
    }
    if (arch !== "x64" && arch !== "arm64") {
      return problem(
        "platform",
        `This processor is ${arch}, and there is no libtorch for it.`,
        "Use a host with x64 or arm64.",
        details,
      );
    }
    if (system === "linux" && glibc === undefined) {
      return warning(
        "platform",
        `${system}-${arch} without glibc (musl?), which the usual builds of libtorch need.`,
        "Use an image with glibc, such as Debian's or Ubuntu's instead of Alpine's, or a libtorch built for this system.",
        details,
      );
    }
    return ok("platform", `${system}-${arch}${glibc === undefined ? "" : `, glibc ${glibc}`}.`, details);
  },
};
