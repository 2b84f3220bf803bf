// How a process ends that a forward is done in; test/torch/exit.test.ts tests some of the ways.
import assert from "node:assert/strict";
import { endings, runExit, spawnChild } from "../children/exit.ts";
import { fixture } from "../helpers.ts";

const repeats = Number(process.env.EXIT_REPEATS ?? 1);

describe(`a process that ends (Node ${process.env.EXIT_NODE_VERSION ?? process.versions.node})`, function () {
  this.timeout(60_000 + 20_000 * repeats);
  for (const [ending, code] of Object.entries(endings)) {
    for (const moment of ["before", "during", "after"]) {
      it(`exits with ${code}: ${ending}, ${moment} a forward, ${repeats} of ${repeats}`, async () => {
        const noise = ending.startsWith("throw") ? /on purpose/ : /^$/;
        for (let i = 0; i < repeats; i += 2) {
          const outcomes = [runExit(ending, moment), ...(i + 1 < repeats ? [runExit(ending, moment)] : [])];
          for (const { status, stderr } of await Promise.all(outcomes)) {
            assert.equal(status, code, `runs ${i + 1} and ${i + 2}: ${status}\n${stderr}`);
            assert.match(stderr, noise);
          }
        }
      });
    }
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
    spawnChild("endless.mjs", [fixture("modules/endless.pt"), fixture("modules/optionalinput.pt"), ending], {
      ...process.env,
      ...(waitMs !== undefined && { NEURON_BLIP_EXIT_WAIT_MS: String(waitMs) }),
    });

  for (const [ending, code] of Object.entries(endlessEndings)) {
    const then = ending === "worker-exit" || ending === "worker-terminate" ? ", and the process works on" : "";
    it(`lets the end be: ${ending}, exits with ${code}${then}`, async () => {
      const { status, stdout, stderr } = await runEndless(ending, 100);
      assert.equal(status, code, stderr);
      assert.match(stderr, ending.startsWith("throw") ? /on purpose/ : /^$/);
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
