import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FINDINGS } from "../../dist/tools/report/findings.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The rows of the tables below a heading of docs/findings.md. */
function documented(heading: string): string[][] {
  const text = readFileSync(join(root, "docs/findings.md"), "utf8");
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const rows = section.split("\n## ")[0]?.matchAll(/^\| `(.+)` \| (.+) \|$/gm) ?? [];
  return [...rows].map(([, id = "", about = ""]) => [id, about]);
}

describe("the ids of findings", () => {
  for (const tool of ["doctor", "validate"] as const) {
    const ids = Object.keys(FINDINGS[tool]);

    it(`of neuron-blip ${tool} are those that docs/findings.md promises, each once`, () => {
      assert.deepEqual(Object.entries(FINDINGS[tool]), documented(`neuron-blip ${tool}`));
      assert.equal(new Set(ids).size, ids.length);
      for (const id of ids) assert.match(id, /^[a-z]+([.-][a-z]+|\.NAME|\.N)*$/);
    });

    it(`of neuron-blip ${tool} are all in use`, () => {
      const directory = join(root, "lib/tools", tool);
      const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
        name.endsWith(".ts"),
      );
      const source = files.map((name) => readFileSync(join(directory, name), "utf8")).join("\n");
      for (const id of ids) {
        // Of a kind, the name is put in: `part.${part}`.
        const used = id.replace(/NAME|N$/, "$" + "{");
        assert(source.includes(`"${used}"`) || source.includes(`\`${used}`), `no ${tool} finds ${id}`);
      }
    });
  }
});
