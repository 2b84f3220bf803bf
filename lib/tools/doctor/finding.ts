/** What a finding means: fine; works, but not as it should; keeps this host from running; was not looked at, and why. */
export type Status = "ok" | "warning" | "problem" | "skipped";

export type Detail = string | number | boolean | null | readonly Detail[] | { readonly [name: string]: Detail };

/** One thing that was looked at. */
export interface Finding {
  /** Such as "addon" or "neuron.driver": the same in every version, for programs. */
  readonly id: string;
  readonly status: Status;
  /** One or two sentences. */
  readonly what: string;
  /** What to do, where there is something to do. */
  readonly cure?: string;
  /** The figures behind it, sizes in bytes. */
  readonly details: Readonly<Record<string, Detail>>;
}

type Details = Readonly<Record<string, Detail | undefined>>;

export function ok(id: string, what: string, details: Details = {}): Finding {
  return { id, status: "ok", what, details: known(details) };
}

export function skipped(id: string, what: string, details: Details = {}): Finding {
  return { id, status: "skipped", what, details: known(details) };
}

export function warning(id: string, what: string, cure: string, details: Details = {}): Finding {
  return { id, status: "warning", what, cure, details: known(details) };
}

export function problem(id: string, what: string, cure: string, details: Details = {}): Finding {
  return { id, status: "problem", what, cure, details: known(details) };
}

/** The worst status of all, "ok" where nothing was found: what was skipped is no fault. */
export function verdictOf(findings: readonly Finding[]): "ok" | "warning" | "problem" {
  if (findings.some(({ status }) => status === "problem")) return "problem";
  return findings.some(({ status }) => status === "warning") ? "warning" : "ok";
}

function known(details: Details): Record<string, Detail> {
  return Object.fromEntries(
    Object.entries(details).filter((entry): entry is [string, Detail] => entry[1] !== undefined),
  );
}
