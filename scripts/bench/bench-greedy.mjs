// How much the part that begins answers in one call (`compile --greedy-tokens`) is worth: whole answers about a picture that was
// looked at already, with and without it, each way in a process of its own, in turn.
//   node scripts/bench/bench-greedy.mjs DIR [--tokens 4] [--latency 1] [--seconds 3] [--rounds 3] [--threads 1]
// Compiled for inf2 by the stand-in's torch_neuronx (test/stand-ins/README.md), DIR runs on the stand-in for the Neuron runtime, with
// a latency per call in ms: that says nothing about a device. Compiled for the CPU, it is run there.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NeuronBlip } from "neuron-blip";
import { buildStandIns } from "../addon/build-stand-ins.mjs";
import { capture } from "../addon/host.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "4" },
    latency: { type: "string", default: "1" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "1" },
    child: { type: "boolean", default: false },
  },
});
const [directory] = positionals;
if (directory === undefined) throw new Error("Give the model directory.");

/** Whether each way has the part that begins answers. */
const WAYS = {
  "single steps": false,
  text_decoder_greedy: true,
};

if (values.child) {
  await measure(directory);
} else {
  await compare(resolve(directory));
}

/**
 * Asks one question after the other, each answered with the same number of tokens, and prints the median time of an answer in ms.
 * @param {string} model
 */
async function measure(model) {
  const blip = await NeuronBlip.fromPretrained(model, { threads: Number(values.threads), verify: false });
  const data = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * 7) % 256);
  const picture = await blip.encodeImage({ data, width: 32, height: 32, channels: 3 });
  const ask = () => blip.answer(picture, "what is it?", { maxNewTokens: Number(values.tokens) });
  /** @type {number[]} */
  const times = [];
  for (let i = 0; i < 3; i++) await ask();
  let newTokens = 0;
  const end = performance.now() + Number(values.seconds) * 1000;
  do {
    const start = performance.now();
    newTokens = (await ask()).tokenLogProbabilities.length;
    times.push(performance.now() - start);
  } while (performance.now() < end);
  await blip.dispose();
  console.log(JSON.stringify({ median: medianOf(times), newTokens }));
}

/** @param {string} model */
async function compare(model) {
  const manifest = JSON.parse(readFileSync(join(model, "neuron_blip.json"), "utf8"));
  const onStandIn = manifest.target === "inf2";
  const scratch = mkdtempSync(join(tmpdir(), "neuron-blip-bench-"));
  try {
    const libraries = onStandIn ? await buildStandIns() : "";
    const ways = Object.entries(WAYS).map(([name, greedy], i) => ({
      name,
      directory: leave(model, manifest, join(scratch, `way-${i}`), greedy),
    }));
    /** @type {Map<string, number[]>} */
    const medians = new Map(ways.map(({ name }) => [name, []]));
    let newTokens = 0;
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const { name, directory } of ways) {
        const hardware = mkdtempSync(join(scratch, "hardware-"));
        writeFileSync(join(hardware, "cores"), "1");
        writeFileSync(join(hardware, "latency_ms"), values.latency);
        const standIn = {
          NEURON_BLIP_STAND_IN: hardware,
          NEURON_BLIP_LIBTORCHNEURON: libraries,
          NEURON_BLIP_LIBNRT: libraries,
        };
        const env = onStandIn ? { ...process.env, ...standIn } : process.env;
        const options = ["tokens", "seconds", "threads"].flatMap((option) => [
          `--${option}`,
          values[/** @type {"tokens" | "seconds" | "threads"} */ (option)],
        ]);
        const child = capture(process.execPath, [fileURLToPath(import.meta.url), directory, "--child", ...options], {
          env,
        });
        if (!child.ok) throw new Error(child.stderr);
        const result = JSON.parse(child.stdout);
        newTokens = result.newTokens;
        medians.get(name)?.push(result.median);
      }
    }
    console.log(
      `answers of ${newTokens} tokens about a known picture${onStandIn ? `, on a stand-in of ${values.latency} ms a call` : ", on the CPU"}:`,
    );
    const [first] = medians.values();
    const baseline = medianOf(first ?? []);
    for (const [name, times] of medians) {
      const median = medianOf(times);
      const range = `${Math.min(...times).toFixed(2)} to ${Math.max(...times).toFixed(2)}`;
      console.log(
        `${name.padEnd(20)} ${median.toFixed(2)} ms (${range}), ${(1000 / median).toFixed(1)} answers/s, ` +
          `${(baseline / median).toFixed(2)} times as many`,
      );
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/**
 * A directory with links to a model's files, and a manifest that leaves some parts out.
 * @param {string} model
 * @param {{ parts: Record<string, unknown> }} manifest
 * @param {string} out
 * @param {boolean} greedy
 */
function leave(model, manifest, out, greedy) {
  mkdirSync(out);
  for (const name of readdirSync(model)) {
    if (name !== "neuron_blip.json") symlinkSync(join(model, name), join(out, name));
  }
  const parts = Object.entries(manifest.parts).filter(([name]) => greedy || !name.startsWith("text_decoder_greedy"));
  const left = { ...manifest, parts: Object.fromEntries(parts) };
  writeFileSync(join(out, "neuron_blip.json"), JSON.stringify(left));
  return out;
}

/** @param {readonly number[]} numbers */
function medianOf(numbers) {
  return [...numbers].sort((one, other) => one - other)[numbers.length >> 1] ?? Number.NaN;
}
