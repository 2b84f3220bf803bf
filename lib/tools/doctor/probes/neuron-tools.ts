import { aptInstall } from "../../../torch/neuron/sdk-versions.js";
import type { Probe } from "../examination.js";
import { ok, skipped, warning } from "../finding.js";
import { TOOLS } from "../neuron-facts.js";

const ID = "neuron.tools";

/** neuron-ls and neuron-monitor: nothing runs worse without them, but nobody sees what holds the cores. */
export const neuronTools: Probe = {
  id: ID,
  async run(examination) {
    const { hardware, tools, toolsDirectory } = await examination.neuron();
    const missing = TOOLS.filter((name) => !tools.includes(name));
    const details = { directory: toolsDirectory, tools, missing };
    if (missing.length === 0) return ok(ID, `${TOOLS.join(" and ")} are in ${toolsDirectory}.`, details);
    if (!hardware) return skipped(ID, "There are no Neuron devices here.", details);
    return warning(
      ID,
      `There is no ${missing.join(" and no ")} in ${toolsDirectory}, so that it cannot be told which process holds which core.`,
      `\`${aptInstall("aws-neuronx-tools")}\``,
      details,
    );
  },
};
