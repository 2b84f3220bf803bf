import { messageOf, NeuronBlipError, type NeuronBlipErrorCode } from "../errors.js";
import { itemAt } from "../util/item-at.js";
import { oneLine, shorten } from "../util/values.js";
import { foreignKindInWords, isDamaged } from "./module-advice.js";
import { foreignKindOf } from "./module-file.js";
import { type ExecutorHandle, native } from "./native.js";

const LONGEST_PATH = 200;
const LONGEST_REASON = 500;
const LONGEST_LINE = 120;

/** What libtorch says where a file needs an operator, a class or a format that it does not have; the file is whole. */
const UNKNOWN: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/Unknown builtin op: ([^\s.]+)/, ([, name]) => `has no ${name}`],
  [/Unknown type name '__torch__\.torch\.classes\.([^']+)'/, ([, name]) => `has no class torch.classes.${name}`],
  [
    /file with version (\d+), but the maximum supported version for reading is (\d+)/,
    ([, version, most]) =>
      `reads files up to version ${most}, and this one, by a newer torch, is of version ${version}`,
  ],
  [
    /Unknown keyword argument '([^']+)' for operator '([^']+)'/,
    ([, argument, name]) => `has no argument ${argument} of ${name}`,
  ],
];

/** Where an operator needs a device that is not the CPU. */
const DEVICES: readonly RegExp[] = [
  /with arguments from the '(?!\w*CPU|Meta)(\w+)' backend/,
  /Cannot initialize (\w+) without/,
  /not linked with support for (\w+) devices/,
  /Torch not compiled with (\w+) enabled/,
  /(?:Expected one of .* )?No (CUDA|HIP|XPU|MPS) (?:GPUs are|backend is) available/,
];

/**
 * Explains why a file could not be loaded, and what to do.
 * @param executor a thread to look at the file on.
 * @param error the addon's, with libtorch's words: other errors are given back as they are.
 */
export async function loadError(
  executor: ExecutorHandle,
  path: string,
  error: NeuronBlipError,
): Promise<NeuronBlipError> {
  const { code, message } = error;
  if (code !== "EXECUTION_FAILED" && code !== "ARTIFACT_CORRUPT") {
    return code === "ARTIFACT_MISMATCH" && !message.startsWith('"') ? told(code, path, `: ${message}`, error) : error;
  }
  const kind = await foreignKindOf(executor, path).catch(() => undefined);
  if (kind !== undefined) {
    return told(
      isDamaged(kind) ? "ARTIFACT_CORRUPT" : "ARTIFACT_MISMATCH",
      path,
      ` ${foreignKindInWords(kind)}`,
      error,
    );
  }
  const lacking = lackingIn(message);
  if (lacking !== undefined) {
    return told(
      "ARTIFACT_MISMATCH",
      path,
      ` cannot be run: this libtorch ${lacking} (it is ${native().libtorchVersion}). The file is whole. Write it without that, or ` +
        "by a version of torch that this libtorch knows, or build the addon with the libtorch that it was written with " +
        "(NEURON_BLIP_LIBTORCH, `npx neuron-blip build`).",
      error,
    );
  }
  const says = code === "EXECUTION_FAILED" ? "libtorch says: " : "";
  return told(
    "ARTIFACT_CORRUPT",
    path,
    " could not be loaded as a TorchScript module. Write it again (`npx neuron-blip compile` or torch.jit.save), or copy it again. " +
      `${says}${oneLine(withoutSource(message).trim(), LONGEST_REASON)}`,
    error,
  );
}

/**
 * Explains why a source text could not be compiled: the place, and libtorch's words.
 * @param name what the source is called.
 * @param error the addon's, with libtorch's words: other errors are given back as they are.
 */
export function compileError(name: string, error: NeuronBlipError): NeuronBlipError {
  if (error.code !== "EXECUTION_FAILED") return error;
  const { message } = error;
  const lacking = lackingIn(message);
  const how =
    lacking === undefined
      ? oneLine(withoutSource(message).trim(), LONGEST_REASON)
      : `this libtorch ${lacking} (it is ${native().libtorchVersion}). Build the addon with a newer one (NEURON_BLIP_LIBTORCH, ` +
        "`npx neuron-blip build`).";
  return told("ARTIFACT_MISMATCH", name, `${placeIn(message)} cannot be compiled: ${how}`, error);
}

/** Says whether a file was not loaded because this libtorch lacks what it needs: `loadError`'s `ARTIFACT_MISMATCH` of that kind. */
export function lacksOperators(error: unknown): boolean {
  return (
    error instanceof NeuronBlipError &&
    error.code === "ARTIFACT_MISMATCH" &&
    lackingIn(messageOf(error.cause)) !== undefined
  );
}

/** Explains why a call failed, in one line: libtorch's reason. The trace through the module's code stays in the cause. */
export function callError(path: string, error: NeuronBlipError): NeuronBlipError {
  if (error.code === "INVALID_INPUT") return told(error.code, path, `: ${error.message}`, error);
  if (error.code !== "EXECUTION_FAILED") return error;
  const reason = reasonOf(error.message);
  const device = DEVICES.map((pattern) => pattern.exec(reason)?.[1]).find((name) => name !== undefined);
  if (device !== undefined) {
    return told(
      "EXECUTION_FAILED",
      path,
      ` failed: an operator wants ${device.toUpperCase()}, and modules run on the CPU here: it was traced on a GPU: trace it on the CPU ` +
        `(model.to("cpu"), then torch.jit.trace). libtorch says: ${oneLine(reason.trim(), LONGEST_REASON / 2)}`,
      error,
    );
  }
  const [, operator] = /^Could not run '([^']+)' with arguments from the 'CPU' backend/.exec(reason) ?? [];
  if (operator !== undefined) {
    return told(
      "EXECUTION_FAILED",
      path,
      ` failed: this libtorch has no ${operator} for the CPU. If it was traced on a GPU: trace it on the CPU.`,
      error,
    );
  }
  return told("EXECUTION_FAILED", path, ` failed: ${oneLine(reason.trim(), LONGEST_REASON)}`, error);
}

/** Makes the error. Its cause is the addon's own error, with all that libtorch says. */
function told(code: NeuronBlipErrorCode, path: string, message: string, error: NeuronBlipError): NeuronBlipError {
  return new NeuronBlipError(code, `"${shorten(path, LONGEST_PATH)}"${message}`, { cause: error.cause ?? error });
}

function lackingIn(message: string): string | undefined {
  for (const [pattern, tell] of UNKNOWN) {
    const match = pattern.exec(message);
    if (match) return shorten(tell(match), LONGEST_REASON);
  }
  return undefined;
}

/** Returns a load's message without the lines of the module's code that it points to. */
function withoutSource(message: string): string {
  const [reason = message] = message.split(/\n?:?\n {2}File "/, 1);
  return reason;
}

/** Finds where in a source text libtorch found a mistake: the first line that it points to, with the line itself. */
function placeIn(message: string): string {
  const [, line, text = ""] = /^ {2}File "[^"]*", line (\d+)\n([\s\S]*)/m.exec(message) ?? [];
  if (line === undefined) return "";
  const lines = text.split("\n");
  const marker = lines.findIndex((shownLine) => /^\s*~+ <--- HERE$/.test(shownLine));
  if (marker < 1) return `, line ${line},`;
  const column = itemAt(lines, marker).indexOf("~") + 1;
  return `, line ${line}, column ${column} (${oneLine(itemAt(lines, marker - 1).trim(), LONGEST_LINE)}),`;
}

/** Returns a call's message without the trace through the module's code, which comes first. */
function reasonOf(message: string): string {
  const lines = message.split("\n");
  const marker = lines.map((line) => /^\s*~+ <--- HERE$/.test(line)).lastIndexOf(true);
  if (marker < 0) return message;
  const reason = lines.findIndex((line, i) => i > marker && /^[A-Za-z_][\w.]*: /.test(line));
  if (reason < 0) return message;
  return (
    lines
      .slice(reason)
      .join("\n")
      .replace(/^(RuntimeError: |builtins\.)/, "")
      // Of an operator that a device lacks: every device that has it, and where in libtorch's sources.
      .replace(/(Could not run '[^']+' with arguments from the '\w+' backend\.) This could be because[\s\S]*/, "$1")
  );
}
