import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const slowModule = here("fixtures/modules/slow.pt");

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

describe("a process that ends in a function from a source text", function () {
  this.timeout(60_000);
  for (const [ending, code] of Object.entries(endings)) {
    it(`exits with ${code}: ${ending}`, async () => {
      const { status, stderr } = await run(ending, "during", "source");
      assert.equal(status, code, stderr);
      assert.match(stderr, ending === "throw" ? /on purpose/ : /^$/);
    });
  }
});

/** How a process ends in which a forward never returns, and the exit code that Node gives for it. */
const endlessEndings: Record<string, number | string> = {
  exit: 3,
  "exit-code": 3,
  throw: 1,
  "past-exit-handlers": 3,
  kill: "SIGTERM",
  "worker-main-exit": 3,
  "worker-exit": 0,
  "worker-terminate": 0,
};

describe("a forward that never returns", function () {
  this.timeout(60_000);
  const runEndless = (ending: string, waitMs?: number) =>
    spawnChild(
      "children/endless.mjs",
      [here("fixtures/modules/endless.pt"), here("fixtures/modules/optionalinput.pt"), ending],
      {
        ...process.env,
        ...(waitMs !== undefined && { NEURON_BLIP_EXIT_WAIT_MS: String(waitMs) }),
      },
    );

  for (const [ending, code] of Object.entries(endlessEndings)) {
    const then = ending === "worker-exit" || ending === "worker-terminate" ? ", and the process works on" : "";
    it(`lets the end be: ${ending}, exits with ${code}${then}`, async () => {
      const { status, stdout, stderr } = await runEndless(ending, 100);
      assert.equal(status, code, stderr);
      assert.match(stderr, ending === "throw" ? /on purpose/ : /^$/);
      if (then !== "") assert.match(stdout, /here: worked on \[\d[\s\S]*in a new Worker: worked on \[\d/);
      else if (!ending.startsWith("worker"))
        assert.match(
          stdout.replace(/^x+/, ({ length }) => String(length)),
          /^10000written before the end\n$/,
        );
    });
  }

  it("is waited for by itself for some seconds, and no longer", async () => {
    const { status, stderr } = await runEndless("exit");
    assert.equal(status, 3, stderr);
  });
});

interface Outcome {
  status: number | string | null;
  stdout: string;
  stderr: string;
}

function run(ending: string, moment: string, module = slowModule): Promise<Outcome> {
  return spawnChild("children/exit.mjs", [module, ending, moment], process.env);
}

function spawnChild(name: string, args: string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const spawned = spawn(node, [here(name), ...args], { stdio: ["ignore", "pipe", "pipe"], env });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      spawned[stream].on("data", (text) => {
        output[stream] += text;
      });
    }
    spawned.on("error", reject);
    spawned.on("close", (status, signal) => resolve({ status: status ?? signal, ...output }));
  });
}
