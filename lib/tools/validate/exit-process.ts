/** Loads a model, answers, and ends: `node exit-process.js DIR THREADS HOW`, started by exits.js. */
import { loadBlip, workloadOf } from "./workload.js";

const [directory, threads, how] = process.argv.slice(2) as [string, string, string];
const blip = await loadBlip(directory, 1, threads === "" ? null : Number(threads));
const workload = workloadOf(blip);
await workload.ask(0);
console.log("answered");
if (how === "process.exit()") {
  // In the middle of an answer, which is when native threads are at work.
  workload.ask(1).catch(() => {});
  setImmediate(() => process.exit(0));
} else {
  await blip.dispose();
}
