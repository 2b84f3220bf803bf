// Reads a file of float32 through a mapping, says so, and holds it until its standard input ends: see test/torch/tensor-file.test.ts.
// Usage: node tensor-file.mjs FILE COUNT
import { once } from "node:events";
import { Executor } from "neuron-blip";
import { openTensors } from "../../dist/torch/tensor-file.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";

const [path, count] = process.argv.slice(2);
const executor = new Executor({ threads: 1 });
const entries = [{ name: "t", dtype: "float32", shape: [Number(count)], offset: 0 }];
const tensors = await openTensors(path, entries, { executor });
const source = 'def total(w: Dict[str, Tensor]) -> float:\n    return float(w["t"].sum())\n';
const functions = await TorchFunctions.compile(source, { executor, name: "total" });
await functions.call("total", [tensors]);
console.log("read");
process.stdin.resume();
await once(process.stdin, "end");
await tensors.dispose();
await functions.dispose();
await executor.close();
