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
  // A host that cannot be reached now may be there again.
  const isJobs = problem.status < 500 && problem.code !== "PICTURE_UNREACHABLE";
  return { fate: isJobs ? "dead" : "again", problem };
}
