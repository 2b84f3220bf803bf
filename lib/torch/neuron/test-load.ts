/**
 * Run by itself, in a child process: `node test-load.js LIBRARY…` loads the addon and then the libraries, and says "loaded"; or why
 * one does not load, with exit code 1.
 */
import { messageOf } from "../../errors.js";
import { native } from "../native.js";

try {
  for (const library of process.argv.slice(2)) native().loadLibrary(library);
  console.log("loaded");
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
