import { type Detail, type Finding, problem } from "../finding.js";

/**
 * A problem that an error of this package tells. Most of their messages end with what to do.
 * @param otherwise what to do where the message does not say it
 */
export function asProblem(
  id: string,
  message: string,
  otherwise: string,
  details: Record<string, Detail> = {},
): Finding {
  const parts = /^(.*?[.):]) ((?:Build|Check|Choose|Compile|Copy|Correct|Give|Install|Make|Run|Set|Update)\b.*)$/s.exec(
    message,
  );
  return problem(id, parts?.[1] ?? message, parts?.[2] ?? otherwise, details);
}
