import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const child = fileURLToPath(new URL("children/exit.mjs", import.meta.url));
const slowModule = fileURLToPath(new URL("fixtures/modules/slow.pt", import.meta.url));

/** How each process ends, and the exit code that Node gives for it. */
const endings: Record<string, number> = {
  natural: 0,
  exit: 3,
  throw: 1,
  "exit-in-exit-handler": 3,
  "exit-with-worker": 3,
  "worker-natural": 0,
  "worker-exit": 0,
  "worker-throw": 0,
  "worker-terminate": 0,
};

const repeats = Number(process.env.EXIT_REPEATS ?? 1);
const node = process.env.EXIT_NODE ?? process.execPath;

describe(`a process that ends (Node ${process.env.EXIT_NODE_VERSION ?? process.versions.node})`, function () {
  this.timeout(60_000 + 20_000 * repeats);
  for (const [ending, code] of Object.entries(endings)) {
    for (const moment of ["before", "during", "after"]) {
      it(`exits with ${code}: ${ending}, ${moment} a forward, ${repeats} of ${repeats}`, async () => {
        const noise = ending === "throw" ? /on purpose/ : /^$/;
        for (let i = 0; i < repeats; i += 2) {
          const outcomes = [run(ending, moment), ...(i + 1 < repeats ? [run(ending, moment)] : [])];
          for (const { status, stderr } of await Promise.all(outcomes)) {
            assert.equal(status, code, `runs ${i + 1} and ${i + 2}: ${status}\n${stderr}`);
            assert.match(stderr, noise);
          }
        }
      });
    }
  }
});

function run(ending: string, moment: string): Promise<{ status: number | string | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const spawned = spawn(node, [child, slowModule, ending, moment], { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    spawned.stderr.on("data", (text) => {
      stderr += text;
    });
    spawned.on("error", reject);
    spawned.on("close", (status, signal) => resolve({ status: status ?? signal, stderr }));
  });
}
