/** What the Neuron runtime's status codes mean: `nrt_status.h`, a public header. */

interface NrtStatus {
  readonly name: string;
  /** The core, or the host, will not answer the same call: the replica on it is loaded again. */
  readonly fatal?: true;
}

const STATUSES: Readonly<Record<number, NrtStatus>> = {
  1: { name: "NRT_FAILURE" },
  2: { name: "NRT_INVALID" },
  3: { name: "NRT_INVALID_HANDLE" },
  4: { name: "NRT_RESOURCE" },
  5: { name: "NRT_TIMEOUT", fatal: true },
  6: { name: "NRT_HW_ERROR" },
  7: { name: "NRT_QUEUE_FULL" },
  9: { name: "NRT_LOAD_NOT_ENOUGH_NC" },
  10: { name: "NRT_UNSUPPORTED_NEFF_VERSION" },
  11: { name: "NRT_FAIL_HOST_MEM_ALLOC" },
  13: { name: "NRT_UNINITIALIZED" },
  14: { name: "NRT_CLOSED" },
  15: { name: "NRT_QUEUE_EMPTY" },
  101: { name: "NRT_EXEC_UNIT_UNRECOVERABLE", fatal: true },
  1002: { name: "NRT_EXEC_BAD_INPUT" },
  1003: { name: "NRT_EXEC_COMPLETED_WITH_NUM_ERR" },
  1004: { name: "NRT_EXEC_COMPLETED_WITH_ERR" },
  1005: { name: "NRT_EXEC_NC_BUSY" },
  1006: { name: "NRT_EXEC_OOB" },
  1200: { name: "NRT_EXEC_HW_ERR_COLLECTIVES", fatal: true },
  1201: { name: "NRT_EXEC_HW_ERR_HBM_UE", fatal: true },
  1202: { name: "NRT_EXEC_HW_ERR_NC_UE", fatal: true },
  1203: { name: "NRT_EXEC_HW_ERR_DMA_ABORT", fatal: true },
  1204: { name: "NRT_EXEC_SW_NQ_OVERFLOW", fatal: true },
  1205: { name: "NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE", fatal: true },
};

/** The status that a message of the runtime names, as a number ("status 1200", "status_code=5") or by its name. */
export function nrtStatusIn(message: string): number | undefined {
  const numbered = /\bstatus(?:[_ ]?code)?\s*[=:]?\s*(\d{1,4})\b/i.exec(message)?.[1];
  if (numbered !== undefined) return Number(numbered);
  const named = Object.entries(STATUSES).find(([, { name }]) => new RegExp(`\\b${name}\\b`).test(message));
  return named && Number(named[0]);
}

export function nrtStatusName(status: number): string {
  return STATUSES[status]?.name ?? `NRT status ${status}`;
}

/** Whether a replica whose call ended so must be loaded again: what happened is the core's fault, not the call's. */
export function isFatalStatus(status: number | undefined): boolean {
  return status !== undefined && STATUSES[status]?.fatal === true;
}
