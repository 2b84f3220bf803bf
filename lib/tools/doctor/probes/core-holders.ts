import { join } from "node:path";
import { formatCores } from "../../../torch/neuron/cores.js";
import { isObject } from "../../../util/json-file.js";
import type { Examination, Probe } from "../examination.js";
import { type Finding, ok, skipped, warning } from "../finding.js";
import { visibleSetting } from "./core-settings.js";

const ID = "neuron.cores";
/** Seconds that neuron-ls gets. */
const LONGEST = 30;

/** A process on a device, as neuron-ls tells it. */
interface Holder {
  readonly pid: number | undefined;
  readonly command: string;
  readonly device: number;
  /** The cores it may be on: its own where neuron-ls names them, else all of its device's. */
  readonly cores: readonly number[];
}

/** Which cores there are, and which process holds them: cores are a process's alone until it ends. */
export const coreHolders: Probe = {
  id: ID,
  async run(examination) {
    const { host } = examination;
    const { hardware, tools, toolsDirectory } = await examination.neuron();
    if (!hardware) return skipped(ID, "There are no Neuron devices here.");
    if (!tools.includes("neuron-ls")) return skipped(ID, "neuron-ls, which would tell who holds them, is not there.");
    const ended = await host.run(join(toolsDirectory, "neuron-ls"), ["-j"], LONGEST);
    const listed = parse(ended.stdout);
    if (ended.code !== 0 || listed === undefined) {
      const reason = ended.timedOut
        ? `it did not come to an end in ${LONGEST} s`
        : ended.error || ended.stderr.trim().split("\n").at(-1) || "it prints no list of devices";
      return warning(
        ID,
        `neuron-ls cannot tell who holds the cores: ${reason}.`,
        "Run `neuron-ls` by hand; see `sudo dmesg`.",
      );
    }
    return judge(examination, listed.cores, listed.holders);
  },
};

async function judge(examination: Examination, cores: readonly number[], holders: readonly Holder[]): Promise<Finding> {
  const { NEURON_RT_NUM_CORES: count, NEURON_RT_VISIBLE_CORES: text } = examination.host.env;
  const visible = visibleSetting(examination) ?? cores;
  const details = {
    cores: [...cores],
    visible: [...visible],
    holders: holders.map(({ pid, command, device, cores: held }) => ({
      pid: pid ?? null,
      command,
      device,
      cores: [...held],
    })),
  };
  const free = cores.filter((core) => !holders.some((holder) => holder.cores.includes(core)));
  const inTheWay = holders.filter((holder) => holder.cores.some((core) => visible.includes(core)));
  const who = inTheWay
    .map(({ pid, command, device, cores: held }) => {
      return `process ${pid ?? "of unknown id"} (${command}) is on device ${device}, cores ${formatCores(held)}`;
    })
    .join("; ");
  const enough = !text && count !== undefined && Number(count) > 0 && free.length >= Number(count);
  if (inTheWay.length === 0 || enough) {
    return ok(
      ID,
      `${visible.length} of ${cores.length} NeuronCores to use, ${inTheWay.length === 0 ? "no other process on them" : `and ${who}`}.`,
      details,
    );
  }
  const others =
    free.length === 0 ? "" : `, or choose free ones: NEURON_RT_VISIBLE_CORES=${formatCores(firstRun(free))}`;
  const cure = `End ${inTheWay.length === 1 ? "that process" : "those processes"}${others}.`;
  // A process of which only the device is known may be on cores of it that are not asked for.
  const certain = inTheWay.some((holder) => holder.cores.every((core) => visible.includes(core)));
  if (certain) return examination.neuronFault(ID, `Cores are held: ${who}.`, cure, details);
  return warning(ID, `Cores may be held: ${who}.`, cure, details);
}

/** The first cores that follow each other. */
function firstRun(cores: readonly number[]): number[] {
  const end = cores.findIndex((core, i) => i > 0 && core !== (cores[i - 1] as number) + 1);
  return cores.slice(0, end < 0 ? cores.length : end);
}

/** neuron-ls -j: [{neuron_device, nc_count, neuroncore_ids, neuron_processes: [{pid, command}]}]. */
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
    for (const process of processes) {
      holders.push({
        pid: typeof process.pid === "number" ? process.pid : undefined,
        command: typeof process.command === "string" ? process.command : "?",
        device: typeof entry.neuron_device === "number" ? entry.neuron_device : i,
        cores: numbers(process.neuroncore_ids) ?? own,
      });
    }
    cores.push(...own);
  }
  return { cores, holders };
}

function numbers(value: unknown): number[] | undefined {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "number")
    ? value
    : undefined;
}
