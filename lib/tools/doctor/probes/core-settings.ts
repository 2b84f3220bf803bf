import { formatCores, parseCores } from "../../../torch/neuron/cores.js";
import type { Examination, Probe } from "../examination.js";
import { type Finding, ok, skipped } from "../finding.js";

const ID = "neuron.settings";

/** NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES against the cores that there are. */
export const coreSettings: Probe = {
  id: ID,
  async run(examination) {
    const { env } = examination.host;
    const total = await examination.totalCores();
    const faults = [await visibleFault(examination, total), await countFault(examination, total)];
    const found = faults.filter((fault) => fault !== undefined);
    if (found.length > 0) return found;
    const { NEURON_RT_VISIBLE_CORES: visible, NEURON_RT_NUM_CORES: count } = env;
    const details = { visible, count, total };
    if (!visible && !count) {
      if (!(await examination.neuron()).present) return skipped(ID, "There is nothing of AWS Neuron here.");
      return ok(
        ID,
        "Neither NEURON_RT_VISIBLE_CORES nor NEURON_RT_NUM_CORES is set: a process takes all cores.",
        details,
      );
    }
    const wins = visible && count ? ", and NEURON_RT_NUM_CORES is not read" : "";
    return ok(
      ID,
      visible ? `NEURON_RT_VISIBLE_CORES is ${visible}${wins}.` : `NEURON_RT_NUM_CORES is ${count}.`,
      details,
    );
  },
};

/** The cores that NEURON_RT_VISIBLE_CORES names; undefined where it is not set, or names none. */
export function visibleSetting({ host }: Examination): number[] | undefined {
  const text = host.env.NEURON_RT_VISIBLE_CORES;
  try {
    return text ? parseCores(text) : undefined;
  } catch {
    return undefined; // this probe says so
  }
}

async function visibleFault(examination: Examination, total: number | undefined): Promise<Finding | undefined> {
  const text = examination.host.env.NEURON_RT_VISIBLE_CORES;
  if (!text) return undefined;
  const details = { visible: text, total };
  const cores = visibleSetting(examination);
  if (cores === undefined) {
    return examination.neuronFault(
      ID,
      `NEURON_RT_VISIBLE_CORES is "${text}", which is no list of NeuronCores that follow each other.`,
      'Set it to one core ("0") or a range ("0-1"), or unset it to use all.',
      details,
    );
  }
  if (total === undefined || total === 0 || (cores.at(-1) as number) < total) return undefined;
  return examination.neuronFault(
    ID,
    `NEURON_RT_VISIBLE_CORES is ${text}, and this host has the NeuronCores ${formatCores([...Array(total).keys()])}.`,
    `Set it to cores among ${formatCores([...Array(total).keys()])}, or unset it to use all.`,
    details,
  );
}

async function countFault(examination: Examination, total: number | undefined): Promise<Finding | undefined> {
  const { NEURON_RT_NUM_CORES: text, NEURON_RT_VISIBLE_CORES: visible } = examination.host.env;
  if (!text || visible) return undefined;
  const details = { count: text, total };
  if (!/^\d{1,4}$/.test(text)) {
    return examination.neuronFault(
      ID,
      `NEURON_RT_NUM_CORES is "${text}", which is no number of NeuronCores.`,
      "Set it to a whole number, 0 for all, or unset it.",
      details,
    );
  }
  if (total === undefined || total === 0 || Number(text) <= total) return undefined;
  return examination.neuronFault(
    ID,
    `NEURON_RT_NUM_CORES is ${text}, and this host has ${total} NeuronCores.`,
    `Set it to ${total} or less, or unset it to use all.`,
    details,
  );
}
