// Throughput of 1, 2 and 4 replicas of a model that was compiled for inf2, on the stand-in for the Neuron runtime with a given
// latency per call: how well replicas run side by side, and how much several calls in flight for each core help. It says
// nothing about a device.
//   node scripts/bench/bench-replicas.mjs DIR [--replicas 1,2,4] [--latency 5] [--exclusive 5] [--in-flight 2] [--seconds 5]
// DIR was compiled by the stand-in's torch_neuronx (test/stand-ins/README.md). --exclusive: the part of the latency that holds
// the core, in ms; the rest overlaps. Each number of replicas has a process of its own, since cores belong to one.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NeuronBlip } from "neuron-blip";
import { buildStandIns } from "../addon/build-stand-ins.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    replicas: { type: "string", default: "1,2,4" },
    latency: { type: "string", default: "5" },
    exclusive: { type: "string" },
    "in-flight": { type: "string", default: "2" },
    seconds: { type: "string", default: "5" },
    child: { type: "boolean", default: false },
  },
});
const [directory] = positionals;
if (directory === undefined) throw new Error("Give the model directory.");

/** @param {number} numModels */
async function measure(numModels) {
  const callsInFlight = Number(values["in-flight"]);
  const blip = await NeuronBlip.fromPretrained(/** @type {string} */ (directory), {
    numModels,
    callsInFlight,
    threads: 1,
  });
  const data = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * 7) % 256);
  const picture = await blip.encodeImage({ data, width: 32, height: 32, channels: 3 });
  const ask = () => blip.answer(picture, "what is in the picture?", { maxNewTokens: 4, minLength: 5 });
  await Promise.all(Array.from({ length: 8 * numModels }, ask)); // warms every replica up

  const callers = Math.max(2, callsInFlight) * numModels;
  const start = performance.now();
  const end = start + Number(values.seconds) * 1000;
  let answers = 0;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        await ask();
        answers++;
      }
    }),
  );
  const perSecond = (answers / (performance.now() - start)) * 1000;
  await blip.dispose();
  console.log(JSON.stringify({ numModels, perSecond }));
}

if (values.child) {
  await measure(Number(values.replicas));
} else {
  const libraries = await buildStandIns();
  const counts = values.replicas.split(",").map(Number);
  let first = Number.NaN;
  for (const count of counts) {
    const hardware = mkdtempSync(join(tmpdir(), "neuron-blip-stand-in-"));
    writeFileSync(join(hardware, "cores"), String(count));
    writeFileSync(join(hardware, "latency_ms"), values.latency);
    if (values.exclusive !== undefined) writeFileSync(join(hardware, "exclusive_ms"), values.exclusive);
    const args = [directory, "--child", "--replicas", String(count), "--in-flight", values["in-flight"]];
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args, "--seconds", values.seconds], {
      encoding: "utf8",
      env: {
        ...process.env,
        NEURON_BLIP_STAND_IN: hardware,
        NEURON_BLIP_LIBTORCHNEURON: libraries,
        NEURON_BLIP_LIBNRT: libraries,
      },
    });
    rmSync(hardware, { recursive: true });
    if (child.status !== 0) throw new Error(child.stderr);
    const { perSecond } = JSON.parse(child.stdout);
    if (Number.isNaN(first)) first = perSecond / count;
    const scaling = (perSecond / count / first).toFixed(3);
    console.log(
      `${count} stand-in cores of ${values.latency} ms, ${values["in-flight"]} calls in flight: ${perSecond.toFixed(1)} answers/s, ` +
        `${scaling} of linear`,
    );
  }
}
