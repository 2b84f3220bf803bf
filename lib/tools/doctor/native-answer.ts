import { packageFile } from "../../util/package-file.js";
import type { Host } from "./host.js";

/** Begins the line that has the child's answer. */
export const ANSWER_MARK = "neuron-blip-doctor ";

/** What a child process said, or how it came to grief. */
export type NativeAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      /** Whether it threw, was ended by a signal, or did not come to an end. */
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
  const lastWords = stderr.trim().split("\n").at(-1) ?? "";
  if (timedOut) return { ok: false, how: "hung", reason: `it did not come to an end in ${LONGEST} s` };
  if (signal !== null) {
    return { ok: false, how: "crashed", reason: `it ends the process with ${signal}${lastWords && ` (${lastWords})`}` };
  }
  const line = stdout
    .split("\n")
    .filter((text) => text.startsWith(ANSWER_MARK))
    .at(-1);
  if (line === undefined || code !== 0) {
    const reason = error ?? `the process ended with code ${code}${lastWords && ` (${lastWords})`}`;
    return { ok: false, how: "crashed", reason };
  }
  const { value, failure } = parse<T>(line.slice(ANSWER_MARK.length));
  return failure === undefined ? { ok: true, value } : { ok: false, how: "failed", ...failure };
}

function parse<T>(text: string): { value: T; failure?: { code?: string; reason: string } } {
  try {
    return JSON.parse(text);
  } catch {
    return {
      value: undefined as T,
      failure: { reason: `it answers ${JSON.stringify(text)}, which cannot be understood` },
    };
  }
}
