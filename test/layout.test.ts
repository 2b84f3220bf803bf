import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("the sources", () => {
  it("are files of at most 400 lines, each of which can be read in one go", () => {
    const files = ["lib", "native"].flatMap((directory) =>
      readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(ts|c|cc|h|torchscript)$/.test(name))
        .map((name) => join(directory, name)),
    );
    assert(files.length > 200);
    const lengths = files.map((file) => [file, readFileSync(join(root, file), "utf8").split("\n").length - 1] as const);
    assert.deepEqual(
      lengths.filter(([, lines]) => lines > 400),
      [],
    );
  });
});
