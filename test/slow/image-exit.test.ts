import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const child = fileURLToPath(new URL("../children/picture-exit.mjs", import.meta.url));

/** How each process ends, and the exit code that Node gives for it. */
const endings: Record<string, number> = { natural: 0, exit: 3, throw: 1, "worker-exit": 0, "worker-terminate": 0 };

function run(...args: string[]): Promise<{ status: number | string | null; stderr: string }> {
  return new Promise((resolve) => {
    const spawned = execFile(process.execPath, [child, ...args], { timeout: 60_000 }, (_error, _stdout, stderr) =>
      resolve({ status: spawned.exitCode ?? spawned.signalCode, stderr }),
    );
  });
}

describe("a process that ends while it prepares pictures", function () {
  this.timeout(180_000);
  for (const [ending, code] of Object.entries(endings)) {
    it(`exits with ${code}: ${ending}, before, during and after a picture, and with decoders lost, by sharp and by jimp`, async () => {
      for (const moment of ["before", "during", "after", "lost"]) {
        const outcomes = await Promise.all(["sharp", "jimp"].map((decoder) => run(ending, moment, decoder)));
        for (const [i, { status, stderr }] of outcomes.entries()) {
          const by = ["sharp", "jimp"][i];
          assert.equal(status, code, `${moment}, by ${by}: ${status}\n${stderr}`);
          assert.match(stderr, ending === "throw" ? /on purpose/ : /^$/, `${moment}, by ${by}`);
        }
      }
    });
  }
});
