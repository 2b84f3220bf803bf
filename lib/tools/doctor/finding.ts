import type { DoctorId } from "../report/findings.js";
import { splitCure } from "../report/words.js";

/** What a finding means: fine; works, but not as it should; keeps this host from running; was not looked at, and why. */
export type Status = "ok" | "warning" | "problem" | "skipped";

export type Detail = string | number | boolean | null | readonly Detail[] | { readonly [name: string]: Detail };

/** The figures behind a finding, sizes in bytes; what is not known is left out. */
export type Details = Readonly<Record<string, Detail | undefined>>;

/** One thing that was looked at. */
export interface Finding {
  readonly id: DoctorId;
  readonly status: Status;
  /** One or two sentences. */
  readonly what: string;
  /** What to do, where there is something to do. */
  readonly cure?: string;
  readonly details: Readonly<Record<string, Detail>>;
}

export type About = ReturnType<typeof about>;

/** Makes the findings that there can be about one thing. */
export function about(id: DoctorId, details: Details = {}) {
  const isKnown = (entry: [string, Detail | undefined]): entry is [string, Detail] => entry[1] !== undefined;
  const known = Object.fromEntries(Object.entries(details).filter(isKnown));
  const fine =
    (status: Status) =>
    (what: string): Finding => ({ id, status, what, details: known });
  const faulty =
    (status: Status) =>
    (what: string, cure: string): Finding => ({ id, status, what, cure, details: known });
  const problem = faulty("problem");
  return {
    ok: fine("ok"),
    skipped: fine("skipped"),
    warning: faulty("warning"),
    problem,
    /** Makes a problem of an error of this package, most of whose messages end with the cure; `otherwise` is for the others. */
    error(message: string, otherwise: string): Finding {
      const [what, cure = otherwise] = splitCure(message);
      return problem(what, cure);
    },
  };
}

/** Returns the worst status of all, "ok" where nothing was found: what was skipped is no fault. */
export function verdictOf(findings: readonly Finding[]): "ok" | "warning" | "problem" {
  if (findings.some(({ status }) => status === "problem")) return "problem";
  return findings.some(({ status }) => status === "warning") ? "warning" : "ok";
}
