// Opens a file of float32, lays it out anew and lets go of both, again and again, and prints how many mappings and how many bytes of memory
// the process has after half of it and at the end: see test/torch/tensor-file.test.ts. By itself, since tests leave memory of their own.
// Usage: node tensor-file-cycles.mjs FILE TENSORS CYCLES
import { readFileSync } from "node:fs";
import { Executor } from "neuron-blip";
import { openTensors } from "../../dist/torch/tensor-file.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";

const SOURCE = `
def laid_out_anew(w: Dict[str, Tensor]) -> Dict[str, Tensor]:
    anew: Dict[str, Tensor] = {}
    for name in list(w.keys()):
        anew[name] = w.pop(name).t().contiguous()
    return anew

def total(w: Dict[str, Tensor]) -> float:
    total = 0.0
    for tensor in w.values():
        total += float(tensor.sum())
    return total
`;

const [path, tensors, cycles] = process.argv.slice(2);
const executor = new Executor({ threads: 1 });
const functions = await TorchFunctions.compile(SOURCE, { executor, name: "source" });
const entries = Array.from({ length: Number(tensors) }, (_, i) => {
  return { name: `t${i}`, dtype: "float32", shape: [512, 512], offset: i * 2 ** 20 };
});
const totals = new Set();

async function settled() {
  await executor.returnFreedMemory();
  const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
  return {
    mappings: maps.length,
    ofFile: maps.filter((line) => line.endsWith(path)).length,
    rss: process.memoryUsage.rss(),
  };
}

async function run() {
  for (let i = 0; i < Number(cycles) / 2; i++) {
    const opened = await openTensors(path, entries, { executor });
    const anew = await functions.keep("laid_out_anew", [opened]);
    totals.add(await functions.call("total", [anew]));
    await anew.dispose();
    await opened.dispose();
  }
  return settled();
}

const before = await run();
const after = await run();
console.log(JSON.stringify({ totals: [...totals], before, after }));
await functions.dispose();
await executor.close();
