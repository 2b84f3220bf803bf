import assert from "node:assert/strict";
import { endings, runExit } from "../children/exit.ts";

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
