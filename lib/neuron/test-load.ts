/**
 * Run by itself, in a child process: `node test-load.js LIBRARY` loads the addon and then the library, and says "loaded"; or why
 * it does not load, with exit code 1.
 */
import { messageOf } from "../errors.js";
import { native } from "../native.js";

try {
  native().loadLibrary(process.argv[2] as string);
  console.log("loaded");
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
