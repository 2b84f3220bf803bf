// Loaded before the server under test: tells its memory after a garbage collection, and its CPU time.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

process.on("message", (/** @type {{question: string}} */ { question }) => {
  if (question === "memory") {
    collect();
    process.send?.({ question, answer: process.memoryUsage() });
  }
  if (question === "cpu") process.send?.({ question, answer: process.cpuUsage() });
});
// The server ends as without it.
process.channel?.unref();
