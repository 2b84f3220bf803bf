import { accessSync, constants } from "node:fs";
import { codeOf } from "../../errors.js";

/** Says what keeps a file from being read. */
export function obstacleOf(path: string): "missing" | "unreadable" | undefined {
  try {
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return codeOf(error) === "EACCES" || codeOf(error) === "EPERM" ? "unreadable" : "missing";
  }
}

/** Says whether a file is there, be it for this user to read or not. */
export function isThere(path: string): boolean {
  return obstacleOf(path) !== "missing";
}
