import { type Problem, problemOf } from "../problem.js";

/** What becomes of a job that failed. */
export type Fate =
  /** It cannot be done, now or ever: to the dead letters, at once. */
  | "dead"
  /** It may go well another time: an attempt is spent. */
  | "again"
  /** It was not the job's doing: it waits, and no attempt is spent. */
  | "wait";

/** What says nothing of the job: the model is busy, or lost, or ends. */
const NOT_ITS_DOING: readonly string[] = [
  ...["QUEUE_FULL", "BUSY", "ABORTED", "DISPOSED", "OUT_OF_MEMORY", "NEURON_EXECUTION", "NEURON_RESTART_REQUIRED"],
];

/** Says what becomes of a job, by what it failed with. */
export function fateOf(error: unknown): { readonly fate: Fate; readonly problem: Problem } {
  const problem = problemOf(error);
  if (NOT_ITS_DOING.includes(problem.code)) return { fate: "wait", problem };
  if (problem.code === "PICTURE_UNREACHABLE") return { fate: fateBy(problem.cause), problem };
  return { fate: problem.status < 500 ? "dead" : "again", problem };
}

/** Statuses by which a host says "later". */
const LATER: readonly number[] = [408, 429, 502, 503, 504];

/** How a connection fails whose host is away for the moment. */
const AWAY: readonly string[] = [
  ...["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EPIPE", "EAI_AGAIN"],
  ...["UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "UND_ERR_SOCKET"],
];

/** Says what becomes of a job by why its picture did not come: an error of the connection or the disk, or the host's reply. */
function fateBy(cause: unknown): Fate {
  const { statusCode, code }: { statusCode?: unknown; code?: unknown } =
    typeof cause === "object" && cause !== null ? cause : {};
  if (typeof statusCode === "number") {
    if (LATER.includes(statusCode)) return "wait";
    return statusCode < 500 ? "dead" : "again";
  }
  // A URL that redirects on and on has no cause beside it.
  if (typeof code !== "string" || code === "ENOTPUBLIC") return "dead";
  return AWAY.includes(code) ? "wait" : "again";
}
