// Reads damaged .safetensors files, and calculates with whatever tensors they give: see fuzz/children.mjs for what is a fault, and for
// the arguments.
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Executor } from "neuron-blip";
import { readSafetensorsHeader } from "../dist/hub/safetensors.js";
import { openTensors } from "../dist/runtime/tensor-file.js";
import { TorchFunctions } from "../dist/runtime/torch-functions.js";
import { fuzz } from "./fuzz/children.mjs";
import { damagedSafetensors, wildEntries } from "./fuzz/damaged-safetensors.mjs";
import { runMain } from "./host.mjs";

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

await runMain(() =>
  fuzz(import.meta.url, "damaged safetensors files", [], (dice, work) => {
    const { how, bytes } = damagedSafetensors(dice);
    const path = join(work, "model.safetensors");
    writeFileSync(path, bytes);
    // Others may write: it is read instead of mapped.
    if (dice.below(3) === 0) chmodSync(path, 0o666);
    const entries = dice.below(5) === 0 ? wildEntries(dice, bytes.length) : undefined;
    return [entries ? `${JSON.stringify(entries)} of ${bytes.length} bytes` : how, () => run(path, entries)];
  }),
);
