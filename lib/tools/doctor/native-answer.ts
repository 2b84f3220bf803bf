import { packageFile } from "../../util/package-file.js";
import type { Host } from "../report/host.js";

/** Begins the line that has the child's answer. */
export const ANSWER_MARK = "neuron-blip-doctor ";

/** What a child process said, or how it came to grief: whether it threw, was ended by a signal, or did not come to an end. */
export type NativeAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      readonly how: "failed" | "crashed" | "hung";
      readonly reason: string;
      readonly code?: string;
    };

/** Seconds; libtorch's CUDA builds are gigabytes to read from a cold disk. */
const LONGEST = 180;

/** Does something with the native addon in a child process: see native-child.ts. */
export async function askNative<T>(
  host: Host,
  task: "addon" | "runtime" | "library" | "inspect",
  paths: readonly string[] = [],
): Promise<NativeAnswer<T>> {
  const script = packageFile("tools/doctor/native-child.js");
  const { code, signal, stdout, stderr, timedOut, error } = await host.runNode(script, [task, ...paths], LONGEST);
  const failed = (how: "failed" | "crashed" | "hung", reason: string) => ({ ok: false, how, reason }) as const;
  const lastWords = stderr.trim() && ` (${stderr.trim().split("\n").at(-1)})`;
  if (timedOut) return failed("hung", `it did not come to an end in ${LONGEST} s`);
  if (signal !== null) return failed("crashed", `it ends the process with ${signal}${lastWords}`);
  const lines = stdout.split("\n").filter((text) => text.startsWith(ANSWER_MARK));
  const line = lines.at(-1);
  if (line === undefined || code !== 0) {
    return failed("crashed", error ?? `the process ended with code ${code}${lastWords}`);
  }
  try {
    const { value, failure } = JSON.parse(line.slice(ANSWER_MARK.length));
    return failure === undefined ? { ok: true, value } : { ok: false, how: "failed", ...failure };
  } catch {
    return failed("failed", `it answers ${JSON.stringify(line)}, which cannot be understood`);
  }
}
