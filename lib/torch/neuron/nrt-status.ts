/**
 * What the Neuron runtime's status codes mean (`nrt_status.h`, a public header), and what this package does about each: the one
 * table of them.
 */

/**
 * - `callFails`: the call gets the error, and its replica stays in use.
 * - `retry`: the same call is made again a few times, after short pauses; where that does not help, as `callFails`.
 * - `reload`: the replica is taken out, its work is done by another, and it is loaded again.
 * - `reloadOnce`: as `reload` the first time on a core, as `coreOut` from the second time on.
 * - `coreOut`: as `reload`; but the core is presumed bad, and given up when it was out three times.
 * - `processEnd`: the runtime cannot be used in this process any more; another process has to be started.
 * - `mismatch`: the part was compiled for another device family, core configuration or SDK than this host's.
 * - `deviceMemory`, `hostMemory`: there is too little memory, on the NeuronCore or on the host.
 * - `noCores`: the process has too few NeuronCores.
 *
 * The last four fail the call, or the load, and say so.
 */
export type NrtAction =
  | "callFails"
  | "retry"
  | "reload"
  | "reloadOnce"
  | "coreOut"
  | "processEnd"
  | "mismatch"
  | "deviceMemory"
  | "hostMemory"
  | "noCores";

export interface NrtStatus {
  readonly name: string;
  /** In the words of the public documentation, shortened. */
  readonly meaning: string;
  /** What to do where a call failed with it. */
  readonly onExecute: NrtAction;
  /** What to do where a load failed with it. Default: as `onExecute`. */
  readonly onLoad?: NrtAction;
}

export const NRT_STATUSES: Readonly<Record<number, NrtStatus>> = {
  1: { name: "NRT_FAILURE", meaning: "a failure that is not told apart", onExecute: "reload" },
  2: {
    name: "NRT_INVALID",
    meaning: "an invalid NEFF, or inputs that do not fit it",
    onExecute: "callFails",
    onLoad: "mismatch",
  },
  3: { name: "NRT_INVALID_HANDLE", meaning: "the loaded model is no longer known", onExecute: "reload" },
  4: { name: "NRT_RESOURCE", meaning: "an allocation failed", onExecute: "reload", onLoad: "deviceMemory" },
  5: { name: "NRT_TIMEOUT", meaning: "the call took longer than NEURON_RT_EXEC_TIMEOUT", onExecute: "reload" },
  6: { name: "NRT_HW_ERROR", meaning: "the hardware failed", onExecute: "processEnd" },
  7: { name: "NRT_QUEUE_FULL", meaning: "the core's queue is full", onExecute: "retry" },
  9: { name: "NRT_LOAD_NOT_ENOUGH_NC", meaning: "there are too few NeuronCores", onExecute: "noCores" },
  10: { name: "NRT_UNSUPPORTED_NEFF_VERSION", meaning: "a NEFF of a version that is not known", onExecute: "mismatch" },
  11: { name: "NRT_FAIL_HOST_MEM_ALLOC", meaning: "the host's memory is used up", onExecute: "hostMemory" },
  13: { name: "NRT_UNINITIALIZED", meaning: "the runtime is not initialised", onExecute: "processEnd" },
  14: { name: "NRT_CLOSED", meaning: "the runtime was closed", onExecute: "processEnd" },
  15: { name: "NRT_QUEUE_EMPTY", meaning: "the core's queue is empty", onExecute: "retry" },
  101: { name: "NRT_EXEC_UNIT_UNRECOVERABLE", meaning: "the execution unit cannot recover", onExecute: "coreOut" },
  1002: { name: "NRT_EXEC_BAD_INPUT", meaning: "inputs that do not fit the NEFF", onExecute: "callFails" },
  1003: {
    name: "NRT_EXEC_COMPLETED_WITH_NUM_ERR",
    meaning: "the result has values that are no numbers",
    onExecute: "callFails",
  },
  1004: {
    name: "NRT_EXEC_COMPLETED_WITH_ERR",
    meaning: "a logical error, or one of the core's memory",
    onExecute: "reloadOnce",
  },
  1005: { name: "NRT_EXEC_NC_BUSY", meaning: "the core is in use by another model or thread", onExecute: "retry" },
  1006: { name: "NRT_EXEC_OOB", meaning: "an access outside of memory", onExecute: "reload" },
  1100: { name: "NRT_COLL_PENDING", meaning: "a collective operation is pending", onExecute: "retry" },
  1200: { name: "NRT_EXEC_HW_ERR_COLLECTIVES", meaning: "collective operations hang", onExecute: "coreOut" },
  1201: {
    name: "NRT_EXEC_HW_ERR_HBM_UE",
    meaning: "an uncorrectable error of the device's memory",
    onExecute: "coreOut",
  },
  1202: { name: "NRT_EXEC_HW_ERR_NC_UE", meaning: "an uncorrectable error of the core's memory", onExecute: "coreOut" },
  1203: { name: "NRT_EXEC_HW_ERR_DMA_ABORT", meaning: "a transfer was aborted", onExecute: "coreOut" },
  1204: { name: "NRT_EXEC_SW_NQ_OVERFLOW", meaning: "the notification queue overflowed", onExecute: "reload" },
  1205: {
    name: "NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE",
    meaning: "a repairable error of the device's memory",
    onExecute: "coreOut",
  },
  1206: { name: "NRT_NETWORK_PROXY_FAILURE", meaning: "the network's proxy failed", onExecute: "processEnd" },
};

/** Describes a status: "NRT_TIMEOUT: the call took longer than NEURON_RT_EXEC_TIMEOUT", or that it is not known. */
export function describeStatus(status: number): string {
  const known = NRT_STATUSES[status];
  return known ? `${known.name}: ${known.meaning}` : `an NRT status that neuron-blip does not know, ${status}`;
}

/** Says what to do about a status. One that is not known is taken for the core's: its replica is loaded again. */
export function actionFor(status: number, phase: "execute" | "load"): NrtAction {
  const known = NRT_STATUSES[status];
  if (known === undefined) return "reload";
  return phase === "load" ? (known.onLoad ?? known.onExecute) : known.onExecute;
}
