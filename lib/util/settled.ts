/**
 * Gives the value of a settled result.
 * @throws its reason, where it was rejected.
 */
export function fulfilled<T>(outcome: PromiseSettledResult<T> | undefined): T {
  if (outcome?.status === "fulfilled") return outcome.value;
  throw outcome?.reason;
}
