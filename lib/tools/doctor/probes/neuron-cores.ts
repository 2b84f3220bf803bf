/** Probes of the NeuronCores: which a process may use, and who holds them. */
import { join } from "node:path";
import { formatCores, parseCores } from "../../../torch/neuron/cores.js";
import { isObject } from "../../../util/json-file.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";

/** Compares NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES with the cores that there are. */
export async function coreSettings(examination: Examination): Promise<Finding> {
  const { NEURON_RT_VISIBLE_CORES: visible, NEURON_RT_NUM_CORES: count } = examination.host.env;
  const total = await examination.totalCores();
  const settings = about("neuron.settings", { visible, count, total });
  if (visible) {
    const cores = visibleSetting(examination);
    if (cores === undefined) {
      const what = `NEURON_RT_VISIBLE_CORES is "${visible}", which is no list of NeuronCores that follow each other.`;
      return examination.fault(settings, what, 'Set it to one core ("0") or a range ("0-1"), or unset it to use all.');
    }
    if (total && (cores.at(-1) ?? 0) >= total) {
      const all = formatCores([0, total - 1]);
      const what = `NEURON_RT_VISIBLE_CORES is ${visible}, and this host has the NeuronCores ${all}.`;
      return examination.fault(settings, what, `Set it to cores among ${all}, or unset it to use all.`);
    }
    return settings.ok(`NEURON_RT_VISIBLE_CORES is ${visible}${count ? ", and NEURON_RT_NUM_CORES is not read" : ""}.`);
  }
  if (count) {
    if (!/^\d{1,4}$/.test(count)) {
      const what = `NEURON_RT_NUM_CORES is "${count}", which is no number of NeuronCores.`;
      return examination.fault(settings, what, "Set it to a whole number, 0 for all, or unset it.");
    }
    if (total && Number(count) > total) {
      const what = `NEURON_RT_NUM_CORES is ${count}, and this host has ${total} NeuronCores.`;
      return examination.fault(settings, what, `Set it to ${total} or less, or unset it to use all.`);
    }
    return settings.ok(`NEURON_RT_NUM_CORES is ${count}.`);
  }
  if (!(await examination.neuron()).present) return settings.skipped("There is nothing of AWS Neuron here.");
  return settings.ok("Neither NEURON_RT_VISIBLE_CORES nor NEURON_RT_NUM_CORES is set: a process takes all cores.");
}

/** Returns the cores that NEURON_RT_VISIBLE_CORES names; undefined where it is not set, or names none. */
export function visibleSetting({ host }: Examination): number[] | undefined {
  const text = host.env.NEURON_RT_VISIBLE_CORES;
  try {
    return text ? parseCores(text) : undefined;
  } catch {
    return undefined; // coreSettings says so
  }
}

/** Seconds that neuron-ls gets. */
const LONGEST = 30;

/** A process on a device, as neuron-ls tells it. */
interface Holder {
  readonly pid: number | null;
  readonly command: string;
  readonly device: number;
  /** The cores it may be on: its own where neuron-ls names them, else all of its device's. */
  readonly cores: readonly number[];
}

/** Finds which cores there are, and which process holds them: cores are a process's alone until it ends. */
export async function coreHolders(examination: Examination): Promise<Finding> {
  const { skipped, warning } = about("neuron.cores");
  const { hardware, tools, toolsDirectory } = await examination.neuron();
  if (!hardware) return skipped("There are no Neuron devices here.");
  if (!tools.includes("neuron-ls")) return skipped("neuron-ls, which would tell who holds them, is not there.");
  const ended = await examination.host.run(join(toolsDirectory, "neuron-ls"), ["-j"], LONGEST);
  const listed = parse(ended.stdout);
  if (ended.code === 0 && listed !== undefined) return judge(examination, listed.cores, listed.holders);
  const lastWords = ended.error || ended.stderr.trim().split("\n").at(-1) || "it prints no list of devices";
  const reason = ended.timedOut ? `it did not come to an end in ${LONGEST} s` : lastWords;
  return warning(`neuron-ls cannot tell who holds the cores: ${reason}.`, "Run `neuron-ls` by hand; see `sudo dmesg`.");
}

async function judge(examination: Examination, cores: readonly number[], holders: readonly Holder[]): Promise<Finding> {
  const { NEURON_RT_NUM_CORES: count, NEURON_RT_VISIBLE_CORES: text } = examination.host.env;
  const visible = visibleSetting(examination) ?? cores;
  const found = about("neuron.cores", { cores, visible, holders: holders.map((holder) => ({ ...holder })) });
  const free = cores.filter((core) => !holders.some((holder) => holder.cores.includes(core)));
  const inTheWay = holders.filter((holder) => holder.cores.some((core) => visible.includes(core)));
  const who = inTheWay
    .map(({ pid, command, device, cores: held }) => {
      return `process ${pid ?? "of unknown id"} (${command}) is on device ${device}, cores ${formatCores(held)}`;
    })
    .join("; ");
  const enough = !text && Number(count) > 0 && free.length >= Number(count);
  if (inTheWay.length === 0 || enough) {
    const others = inTheWay.length === 0 ? "no other process on them" : `and ${who}`;
    return found.ok(`${visible.length} of ${cores.length} NeuronCores to use, ${others}.`);
  }
  const choose = `, or choose free ones: NEURON_RT_VISIBLE_CORES=${formatCores(firstRun(free))}`;
  const cure = `End ${inTheWay.length === 1 ? "that process" : "those processes"}${free.length === 0 ? "" : choose}.`;
  // A process of which only the device is known may be on cores of it that are not asked for.
  const certain = inTheWay.some((holder) => holder.cores.every((core) => visible.includes(core)));
  if (certain) return examination.fault(found, `Cores are held: ${who}.`, cure);
  return found.warning(`Cores may be held: ${who}.`, cure);
}

/** Returns the first cores that follow each other. */
function firstRun(cores: readonly number[]): number[] {
  return cores.filter((core, i) => core === (cores[0] ?? 0) + i);
}

/** Parses what neuron-ls -j prints: [{neuron_device, nc_count, neuroncore_ids, neuron_processes: [{pid, command}]}]. */
function parse(text: string): { cores: number[]; holders: Holder[] } | undefined {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(list) || !list.every(isObject)) return undefined;
  const cores: number[] = [];
  const holders: Holder[] = [];
  for (const [i, entry] of list.entries()) {
    const counted = Array.from({ length: Number(entry.nc_count) || 0 }, (_, k) => cores.length + k);
    const own = numbers(entry.neuroncore_ids) ?? counted; // older versions give the count alone
    const processes = Array.isArray(entry.neuron_processes) ? entry.neuron_processes.filter(isObject) : [];
    for (const { pid, command, neuroncore_ids: ids } of processes) {
      holders.push({
        pid: typeof pid === "number" ? pid : null,
        command: typeof command === "string" ? command : "?",
        device: typeof entry.neuron_device === "number" ? entry.neuron_device : i,
        cores: numbers(ids) ?? own,
      });
    }
    cores.push(...own);
  }
  return { cores, holders };
}

function numbers(value: unknown): number[] | undefined {
  const areNumbers = Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "number");
  return areNumbers ? value : undefined;
}
