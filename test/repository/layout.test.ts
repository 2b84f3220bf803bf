import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The paths of a directory's files, from the project's. */
function sources(directory: string, extension: RegExp): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => extension.test(name))
    .map((name) => join(directory, name));
}

describe("the sources", () => {
  it("import every package that users install with this one", () => {
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const text = sources("lib", /\.ts$/)
      .map((file) => readFileSync(join(root, file), "utf8"))
      .join("\n");
    // Those with the binaries are found by their names, which name the platform.
    const names = Object.keys({ ...dependencies, ...optionalDependencies }).filter(
      (name) => !name.startsWith("@neuron-blip/"),
    );
    assert(names.length >= 4);
    for (const name of names) {
      assert.match(text, new RegExp(`(from |import\\()"${name}(/[^"]*)?"`), `lib imports ${name}`);
    }
  });

  it("are files of at most 400 lines, each of which can be read in one go", () => {
    const files = ["lib", "native", "packages/server/lib"].flatMap((directory) =>
      sources(directory, /\.(ts|c|cc|h|torchscript)$/),
    );
    assert(files.length > 200);
    const lengths = files.map((file) => [file, readFileSync(join(root, file), "utf8").split("\n").length - 1] as const);
    assert.deepEqual(
      lengths.filter(([, lines]) => lines > 400),
      [],
    );
  });
});
