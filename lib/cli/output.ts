/** What a command writes: lines on the standard output, and files. */
import { access, constants, open, stat, unlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { codeOf, messageOf } from "../errors.js";
import { isThere, makeDirectory } from "../util/files.js";

/** What cannot be written, in one line: exit code 1. */
export class OutputError extends Error {}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "it is a directory",
  ENOENT: "its directory does not exist",
  ENOSPC: "no space is left on the device",
  ENOTDIR: "a directory in its path is a file",
  EROFS: "the file system is read-only",
  EDQUOT: "the disk quota is used up",
};

/** Ends the command when standard output fails: quietly where its reader has gone, as `head` does, and with a line otherwise. */
export function watchOutputs(): void {
  process.stdout.on("error", (error: Error) => {
    if (codeOf(error) === "EPIPE") process.exit(0);
    process.stderr.write(`neuron-blip: ${outputError("the standard output", error).message}\n`);
    process.exit(1);
  });
  // Nobody is left to be told.
  process.stderr.on("error", () => {});
}

/** Prints a line. Not by the console, which keeps it to itself where that fails. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints a line on the standard error. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/**
 * Checks, before long work, that a file can be written after it.
 * @throws OutputError
 */
export async function checkOutput(path: string): Promise<void> {
  try {
    if (!(await isThere(path))) return await checkWritable(path);
    const there = await stat(path);
    if (there.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    await access(path, constants.W_OK);
  } catch (error) {
    throw outputError(`"${path}"`, error);
  }
}

/**
 * Makes a directory, and those above it, and checks that files can be written into it.
 * @returns whether it was made.
 * @throws OutputError
 */
export async function makeOutputDirectory(path: string): Promise<boolean> {
  try {
    const isNew = await makeDirectory(resolve(path));
    await checkWritable(join(path, `.neuron-blip-${process.pid}`));
    return isNew;
  } catch (error) {
    throw outputError(`into "${path}"`, error);
  }
}

/** Makes a file and removes it: permissions alone do not tell, least of all root's. */
async function checkWritable(path: string): Promise<void> {
  await (await open(path, "wx")).close();
  await unlink(path);
}

/** Writes a file. @throws OutputError */
export async function writeOutput(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error) => {
    throw outputError(`"${path}"`, error);
  });
}

/** Says what a system's error means for what was to be written. */
export function outputError(what: string, error: unknown): OutputError {
  const reason = REASONS[codeOf(error) ?? ""] ?? messageOf(error);
  return new OutputError(`Cannot write ${what}: ${reason}.`, { cause: error });
}
