/** The library's own answers, in a process of its own, to compare a server with: does rounds as its parent asks. */
import { readFileSync } from "node:fs";
import { NeuronBlip } from "neuron-blip";
import type { LibraryPlan, Round } from "./library.js";

const { model, picturePath, questions, numBeams, threads }: LibraryPlan = JSON.parse(process.argv[2] ?? "");
const picture = readFileSync(picturePath);
const blip = await NeuronBlip.fromPretrained(model, { numModels: "all", threads });

async function round(callers: number, seconds: number): Promise<Round> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  let answers = 0;
  const ask = async () => {
    while (performance.now() - start < seconds * 1000) {
      await blip.answer(picture, questions, { numBeams });
      answers++;
    }
  };
  await Promise.all(Array.from({ length: callers }, ask));
  const { user, system } = process.cpuUsage(cpu);
  return { answers, ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}

process.on("message", async ({ callers, seconds }: { callers: number; seconds: number }) => {
  process.send?.(await round(callers, seconds));
});
