// Multiplies by int8 linears as linears.torchscript lays them out, with the greatest sums that there can be, for each engine and
// numbers of rows; prints how far each is off, as a share of what rounding allows.
import { readFileSync } from "node:fs";
import { Executor, Tensor } from "neuron-blip";
import { native } from "../../dist/torch/native.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";

const source = `${readFileSync(new URL("../../lib/blip/parts/checkpoint/linears.torchscript", import.meta.url), "utf8")}
def one_linear(weight: Tensor, bias: Tensor) -> Dict[str, Tensor]:
    return {"it.weight": weight, "it.bias": bias}

def linear_as(w: Dict[str, Tensor], packed: Dict[str, PackedLinear], x: Tensor, in_bfloat16: bool) -> Tensor:
    return linear(w, packed, "it", x.to(bfloat16 if in_bfloat16 else float32)).float()
`;

const INPUTS = 256;
const OUTPUTS = 16;
const ROWS = [1, 3, 8, 64, 577];
/** @type {Record<string, (k: number, row: number) => number>} */
const ACTIVATIONS = {
  ones: () => 1,
  negative: () => -1,
  "both signs": (k) => (k % 4 < 2 ? 1 : -1),
  outliers: (k, row) => (k % 97 === row % 97 ? 100 : 1),
};
/** @type {Record<string, (output: number, k: number) => number>} */
const WEIGHTS = {
  ones: () => 1,
  negative: () => -1,
  "by output": (output) => (output % 2 === 0 ? 1 : -0.01),
  "both signs": (_, k) => (k % 4 < 2 ? 1 : -1),
};

/** @param {number} rows @param {number} columns @param {(row: number, column: number) => number} valueAt */
function matrix(rows, columns, valueAt) {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => valueAt(Math.floor(i / columns), i % columns));
  return Tensor.from(values, [rows, columns]);
}

/**
 * How far a product is off, as a share of what rounding to 7 bits, and of weights to 8, allows.
 * @param {Tensor} x @param {Tensor} weight @param {Tensor} product
 */
function worst(x, weight, product) {
  const [rows = 0] = x.shape;
  const [a, b, c] = [x, weight, product].map(({ data }) => /** @type {Float32Array} */ (data));
  const range = a.reduce((most, x) => Math.max(most, x), 0) - a.reduce((least, x) => Math.min(least, x), 0);
  let most = 0;
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < OUTPUTS; output++) {
      let [sum, ofX, ofWeights, largest] = [0, 0, 0, 0];
      for (let k = 0; k < INPUTS; k++) {
        const [left, right] = [a[row * INPUTS + k], b[output * INPUTS + k]];
        sum += left * right;
        ofX += Math.abs(left);
        ofWeights += Math.abs(right);
        largest = Math.max(largest, Math.abs(right));
      }
      const allowed = (range / 127) * ofWeights + (largest / 127) * ofX;
      most = Math.max(most, Math.abs(c[row * OUTPUTS + output] - sum) / allowed);
    }
  }
  return most;
}

const executor = new Executor({ threads: 2 });
const functions = await TorchFunctions.compile(source, { executor, name: "linears.torchscript" });
const engines = ["onednn", "x86", "fbgemm"].filter((name) => native().hasQuantizedEngine(name));
const results = [];
for (const quantizedEngine of engines) {
  // Such an engine is not used.
  if (!(await functions.call("multiplies_right", [], { quantizedEngine }))) continue;
  for (const [weights, weightAt] of Object.entries(WEIGHTS)) {
    const weight = matrix(OUTPUTS, INPUTS, weightAt);
    const w = await functions.keep("one_linear", [weight, Tensor.zeros("float32", [OUTPUTS])]);
    const packed = await functions.keep("no_packed_linears", []);
    await functions.call("find_saturation", [w, packed], { quantizedEngine });
    await functions.call("lay_out", [w, packed, "it", "int8"], { quantizedEngine });
    for (const [activations, valueAt] of Object.entries(ACTIVATIONS)) {
      for (const rows of ROWS) {
        const x = matrix(rows, INPUTS, (row, k) => valueAt(k, row));
        for (const inBfloat16 of [false, true]) {
          const product = await functions.call("linear_as", [w, packed, x, inBfloat16]);
          results.push({ quantizedEngine, weights, activations, rows, inBfloat16, off: worst(x, weight, product) });
        }
      }
    }
    await Promise.all([w.dispose(), packed.dispose()]);
  }
}
await functions.dispose();
await executor.close();
console.log(JSON.stringify(results));
