// Sums of int8 products that 16 bits cannot hold, in a process of its own: the instructions are chosen once.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { hasLibtorch } from "../helpers.js";

const child = fileURLToPath(new URL("../children/int8-linears.mjs", import.meta.url));

/** What keeps oneDNN and FBGEMM from instructions that add in 32 bits, on x86. */
const WITHOUT_VNNI = { ONEDNN_MAX_CPU_ISA: "AVX2", FBGEMM_ENABLE_INSTRUCTIONS: "AVX2", ATEN_CPU_CAPABILITY: "avx2" };

interface Product {
  /** How far it is off, as a share of what rounding allows. */
  readonly off: number;
}

describe("int8 linears", () => {
  for (const [host, env] of [
    ["this CPU", {}],
    ["a CPU without VNNI", WITHOUT_VNNI],
  ] as const) {
    it(`do not overflow on ${host}, by any engine, for any number of rows, whatever the activations and weights`, () => {
      const { stdout, stderr } = spawnSync(process.execPath, [child], {
        encoding: "utf8",
        env: { ...process.env, ...env },
        maxBuffer: 2 ** 26,
      });
      assert.equal(stderr, "");
      const products = JSON.parse(stdout) as Product[];
      // Debian's libtorch has been built without any.
      assert(products.length > 0 || !hasLibtorch(2, 0));
      assert.deepEqual(
        products.filter(({ off }) => !(off <= 1)),
        [],
      );
    });
  }
});
