/** What errors call a value that was given as a picture. */
import { types } from "node:util";
import { oneLine } from "../util/values.js";

/** Names what a value is, by its class or type, without its content. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object") return `a ${typeof value}`;
  try {
    if (types.isPromise(value)) return "a Promise (await it first)";
    if (Array.isArray(value)) return `an array of ${value.length}`;
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
    if (typeof name === "string" && name !== "" && name !== "Object") return `an object of class ${oneLine(name, 60)}`;
    const keys = Object.keys(value);
    if (keys.length === 0) return "an empty object";
    return `an object with ${oneLine(keys.slice(0, 8).join(", "), 120)}`;
  } catch {
    return "an object that does not show what it is";
  }
}
