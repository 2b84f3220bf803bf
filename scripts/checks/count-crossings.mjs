// Counts the files and functions of this package that one cold answer crosses: a path and a question, greedy, from the demo's
// checkpoint, on the main thread, from after `fromPretrained` to the answer, by V8's precise coverage.
//   npm run build && node scripts/checks/count-crossings.mjs [--list]
import { Session } from "node:inspector/promises";
import { fileURLToPath } from "node:url";

const dist = process.env.NEURON_BLIP_DIST ?? new URL("../../dist/", import.meta.url).href;
const demo = (/** @type {string} */ path) => fileURLToPath(new URL(`../../demo/${path}`, import.meta.url));

const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });

const { NeuronBlip } = await import(`${dist}index.js`);
const blip = await NeuronBlip.fromPretrained(demo("model"));
// fromPretrained begins to warm decoding up, and does not wait for it: that is no part of the answer.
await new Promise((resolve) => setTimeout(resolve, 1000));
await session.post("Profiler.takePreciseCoverage"); // which counts from zero again
await blip.answer(demo("pictures/three-shapes.png"), "how many shapes are there?");
const { result } = await session.post("Profiler.takePreciseCoverage");
await blip.dispose();

let named = 0;
let anonymous = 0;
let files = 0;
for (const { url, functions } of result) {
  if (!url.startsWith(dist)) continue;
  const crossed = functions.filter(({ ranges }) => (ranges[0]?.count ?? 0) > 0);
  if (crossed.length === 0) continue;
  const names = crossed.map(({ functionName }) => functionName).filter((name) => name !== "");
  files++;
  named += names.length;
  anonymous += crossed.length - names.length;
  if (process.argv.includes("--list")) {
    console.log(`${url.slice(dist.length)}: ${names.join(", ")} and ${crossed.length - names.length} without a name`);
  }
}
console.log(`one cold answer crosses ${files} files and ${named} named functions, and ${anonymous} without a name`);
