import assert from "node:assert/strict";
import { endings, runExit, spawnChild } from "../children/exit.ts";

describe("a process that ends in a function from a source text", function () {
  this.timeout(60_000);
  for (const [ending, code] of Object.entries(endings)) {
    it(`exits with ${code}: ${ending}`, async () => {
      const { status, stderr } = await runExit(ending, "during", "source");
      assert.equal(status, code, stderr);
      assert.match(stderr, ending.startsWith("throw") ? /on purpose/ : /^$/);
    });
  }
});

describe("the addon's threads", () => {
  for (const emit of ["kept", "restored"]) {
    it(`are stopped once when the process exits, where a library that had wrapped process.emit has it ${emit}`, async () => {
      const { status, stdout } = await spawnChild("emit-restored.mjs", [emit], process.env);
      assert.equal(status, 3);
      assert.equal(stdout, "stopped 3 true\n");
    });
  }
});
