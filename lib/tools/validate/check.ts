import type { CheckId } from "../report/findings.js";

export type Status = "pass" | "warning" | "fail" | "skipped";

/** One thing that was checked, in words. */
export interface Check {
  readonly id: CheckId;
  readonly status: Status;
  /** What was found, with its figures. */
  readonly what: string;
  /** What to do about it. */
  readonly cure?: string;
}

/** Makes a check that fails. */
export function failedCheck(id: CheckId, what: string, cure?: string): Check {
  return { id, status: "fail", what, ...(cure !== undefined && { cure }) };
}
