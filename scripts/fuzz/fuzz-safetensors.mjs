// Reads damaged .safetensors files, and calculates with whatever tensors they give; loads and runs checkpoints whose weights are such:
// see fuzz/children.mjs for what is a fault, and for the arguments.
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Executor, NeuronBlip } from "neuron-blip";
import { readSafetensorsHeader } from "../../dist/hub/safetensors.js";
import { openTensors } from "../../dist/torch/tensor-file.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";
import { runMain } from "../addon/host.mjs";
import { fuzz } from "./children.mjs";
import { damagedSafetensors, wildEntries } from "./damaged-safetensors.mjs";

const fixtures = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "test/fixtures");
const WEIGHTS = "model.safetensors";
const CHECKPOINTS = readdirSync(join(fixtures, "parity"))
  .map((name) => join(fixtures, "parity", name, "model"))
  .filter((directory) => existsSync(join(directory, WEIGHTS)));
const PICTURE = join(fixtures, "pictures/chelsea.png");

/** @typedef {import("./mutate.mjs").Dice} Dice */

/** Reads every element of every tensor, and writes to the first. */
const SOURCE = `
def sums(tensors: Dict[str, Tensor]) -> Dict[str, float]:
    sums: Dict[str, float] = {}
    for name, tensor in tensors.items():
        sums[name] = float(tensor.to(torch.float64).sum())
        tensor.zero_()
    return sums
`;

/**
 * @param {string} path
 * @param {Parameters<typeof openTensors>[1] | undefined} entries those of the header where there are none
 */
async function run(path, entries) {
  const executor = new Executor({ threads: 1 });
  try {
    const tensors = await openTensors(path, entries ?? (await entriesOf(path)), { executor });
    const functions = await TorchFunctions.compile(SOURCE, { executor, name: "sums" });
    try {
      await functions.call("sums", [tensors]);
    } finally {
      await tensors.dispose();
      await functions.dispose();
    }
  } finally {
    await executor.close();
  }
}

async function entriesOf(/** @type {string} */ path) {
  const { tensors } = await readSafetensorsHeader(path);
  return [...tensors].map(([name, { dtype, shape, offset }]) => ({ name, dtype, shape, offset }));
}

/** @returns {[string, () => Promise<void>]} */
function damagedFile(/** @type {Dice} */ dice, /** @type {string} */ work) {
  const { how, bytes } = damagedSafetensors(dice);
  const path = join(work, WEIGHTS);
  writeFileSync(path, bytes);
  // Others may write: it is read instead of mapped.
  if (dice.below(3) === 0) chmodSync(path, 0o666);
  const entries = dice.below(5) === 0 ? wildEntries(dice, bytes.length) : undefined;
  return [entries ? `${JSON.stringify(entries)} of ${bytes.length} bytes` : how, () => run(path, entries)];
}

/** @returns {[string, () => Promise<void>]} */
function damagedCheckpoint(/** @type {Dice} */ dice, /** @type {string} */ work) {
  const source = dice.pick(CHECKPOINTS);
  const directory = join(work, "model");
  cpSync(source, directory, { recursive: true });
  const path = join(directory, WEIGHTS);
  const { how, bytes } = damagedSafetensors(dice, readFileSync(path));
  rmSync(path); // which may be linked
  writeFileSync(path, bytes);
  const kind = basename(dirname(source));
  return [`${how} of ${kind}`, () => runCheckpoint(directory, kind)];
}

async function runCheckpoint(/** @type {string} */ directory, /** @type {string} */ kind) {
  const blip = await NeuronBlip.fromPretrained(directory, { threads: 1 });
  try {
    if (kind.startsWith("captions")) await blip.caption(PICTURE, { maxNewTokens: 2 });
    else if (kind.startsWith("retrieval")) await blip.match(PICTURE, "a cat");
    else await blip.answer(PICTURE, "what is it?", { maxNewTokens: 2 });
  } finally {
    await blip.dispose();
  }
}

await runMain(() =>
  fuzz(import.meta.url, "damaged safetensors files", [], (dice, work) =>
    CHECKPOINTS.length > 0 && dice.below(3) === 0 ? damagedCheckpoint(dice, work) : damagedFile(dice, work),
  ),
);
