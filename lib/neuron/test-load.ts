/** Run by itself, in a child process: `node test-load.js LIBRARY` loads the addon and then the library, and says "loaded". */
import { native } from "../native.js";

native().loadLibrary(process.argv[2] as string);
console.log("loaded");
