import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "../errors.js";

/** Says whether there is something at a path. @throws the system's error where that cannot be told. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/**
 * Makes a directory, and those above it. Not by mkdir's `recursive`, which never ends where the system says of a directory that it
 * does not exist, as in /proc.
 * @param path absolute.
 * @returns whether it was made.
 * @throws the system's error.
 */
export async function makeDirectory(path: string): Promise<boolean> {
  if (await isThere(path)) {
    if (!(await stat(path)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    return false;
  }
  await makeDirectory(dirname(path));
  await mkdir(path).catch((error) => {
    if (codeOf(error) !== "EEXIST") throw error;
  });
  return true;
}
