// What README.md, CONTRIBUTING.md, SECURITY.md and docs/ show is so: snippets run, commands and options exist, links lead somewhere.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { demo, demoModel, fixture } from "../helpers.js";
import { HubTest } from "../hub/hub-test.js";
import { type Document, readDocument } from "./markdown.ts";
import { checkCommand, commandsOf, isPacked, readHelp } from "./shell-snippets.ts";

/** What stands for the files that snippets name, in the directory where they run. */
const FILES: Readonly<Record<string, string>> = {
  "blip-vqa-base": demoModel,
  "blip-image-captioning-base": fixture("parity/captions-checkpoint/model"),
  "blip-itm-base-coco": fixture("parity/retrieval-checkpoint/model"),
  "dog.jpg": fixture("pictures/420.jpg"),
  "frame.png": join(demo, "pictures/three-shapes.png"),
  "a.png": join(demo, "pictures/purple-square.png"),
  "b.png": join(demo, "pictures/yellow-star.png"),
  "resnet.pt": fixture("modules/resnet.pt"),
};

/** What the stand-in for the Hugging Face Hub has. */
const ON_THE_HUB: Readonly<Record<string, string>> = { "Salesforce/blip-vqa-base": demoModel };

/** A snippet that names this needs a NeuronCore: it is compiled, and not run. */
const NEEDS_A_DEVICE = "./blip-vqa-base-inf2";

/** What snippets take from the text around them. */
const GIVEN = `
import { NeuronBlip } from "neuron-blip";

const given = {
  NeuronBlip,
  blip: await NeuronBlip.fromPretrained("./blip-vqa-base"),
  pixels: new Float32Array(3 * 224 * 224),
};

declare global {
  var NeuronBlip: typeof given.NeuronBlip;
  var blip: typeof given.blip;
  var pixels: typeof given.pixels;
}

Object.assign(globalThis, given);
`;

/** Runs each compiled snippet, and writes what became of it. */
const RUN = `
import { writeFileSync } from "node:fs";

await import("./out/given.js");
const outcomes = {};
for (const name of process.argv.slice(2)) {
  outcomes[name] = await import(\`./out/\${name}.js\`).then(() => "ran", (error) => error.stack ?? String(error));
}
writeFileSync("outcomes.json", JSON.stringify(outcomes));
await globalThis.blip.dispose();
`;

/** Made by `npm run docs`. */
const GENERATED = "docs/api";

const root = fileURLToPath(new URL("../..", import.meta.url));
const DOCS = readdirSync(join(root, "docs"))
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);
const documents = new Map<string, Document>(
  ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...DOCS].map((name) => [name, readDocument(join(root, name))]),
);
const programs = Array.from(documents).flatMap(([document, { snippets }]) =>
  snippets
    .filter(({ language }) => language === "ts")
    .map(({ text, line }) => ({ text, line, place: `${document}:${line}`, name: nameOf(document, line) })),
);

/** A snippet's file, without its extension. */
function nameOf(document: string, line: number): string {
  return `${document.replaceAll(/\W/g, "-")}-${line}`;
}

/** Runs a program to its end. */
function finish(args: string[], cwd: string): Promise<{ status: number | null; output: string }> {
  const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (output += piece));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
}

/** Compiles the snippets in a directory of their own, each with the lines that it has in its document. @returns the compiler's words. */
async function compile(work: string): Promise<string> {
  writeFileSync(join(work, "package.json"), '{ "type": "module" }');
  mkdirSync(join(work, "node_modules"));
  symlinkSync(root, join(work, "node_modules/neuron-blip"));
  mkdirSync(join(work, "node_modules/@neuron-blip"));
  symlinkSync(join(root, "packages/server"), join(work, "node_modules/@neuron-blip/server"));
  const compilerOptions = {
    ...{ rootDir: ".", outDir: "out", types: ["node"], typeRoots: [join(root, "node_modules/@types")] },
    ...{ declaration: false, declarationMap: false, sourceMap: false, incremental: false, tsBuildInfoFile: null },
    ...{ noUnusedLocals: false, noUnusedParameters: false },
  };
  const tsconfig = { extends: join(root, "tsconfig.json"), compilerOptions, include: ["*.ts"] };
  writeFileSync(join(work, "tsconfig.json"), JSON.stringify(tsconfig));
  writeFileSync(join(work, "given.ts"), GIVEN);
  writeFileSync(join(work, "run.js"), RUN);
  for (const { name, text, line } of programs) writeFileSync(join(work, `${name}.ts`), "\n".repeat(line - 1) + text);
  const { output } = await finish([join(root, "node_modules/typescript/lib/tsc.js"), "-p", "."], work);
  return output;
}

describe("the documents", () => {
  it("have snippets of the kinds that are checked, and no others", () => {
    for (const [name, { snippets }] of documents) {
      for (const { language, line } of snippets) {
        assert(["ts", "sh", "text"].includes(language), `${name}:${line}: no rule for a snippet of "${language}"`);
      }
    }
  });

  it("link to files and headings that there are, also in an installed package", () => {
    for (const [name, { links, anchors }] of documents) {
      for (const { line, text } of links) {
        if (/^https?:/.test(text)) continue;
        const [file = "", anchor] = text.split("#");
        const path = join(dirname(name), file);
        if (file !== "") {
          assert(existsSync(join(root, path)), `${name}:${line}: there is no ${path}`);
          assert(isPacked(path), `${name}:${line}: ${path} is not packed: name it without a link`);
        }
        if (anchor === undefined) continue;
        const target = file === "" ? anchors : documents.get(path)?.anchors;
        assert(target?.includes(anchor), `${name}:${line}: there is no heading #${anchor} in ${file || name}`);
      }
    }
  });

  it("name files and environment variables that there are", () => {
    const sources = ["lib", "native", "scripts", "packages/server/test"]
      .flatMap((folder) =>
        readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(root, folder, file)),
      )
      .filter((path) => /\.(ts|mjs|c|cc|h)$/.test(path))
      .map((path) => readFileSync(path, "utf8"))
      .join("");
    for (const [name, { code }] of documents) {
      for (const { line, text } of code) {
        if (/^(lib|native|scripts|test|examples|demo|packages|docs)\/\S*$/.test(text) && text !== GENERATED) {
          assert(existsSync(join(root, text)), `${name}:${line}: there is no ${text}`);
        }
        for (const [variable] of text.matchAll(/NEURON_BLIP_\w+/g)) {
          assert(new RegExp(`\\b${variable}\\b`).test(sources), `${name}:${line}: nothing reads ${variable}`);
        }
      }
    }
  });

  it("name commands, options and scripts that there are", async () => {
    const help = await readHelp();
    const check = (text: string, place: string) => {
      for (const words of commandsOf(text)) {
        try {
          checkCommand(words, help);
        } catch (error) {
          assert.fail(`${place}: ${words.join(" ")}: ${error instanceof Error ? error.message : error}`);
        }
      }
    };
    for (const [name, { snippets, code }] of documents) {
      for (const { language, line, text } of snippets) if (language === "sh") check(text, `${name}:${line}`);
      for (const { line, text } of code) {
        const [first = "", second] = text.split(" ");
        if (second !== undefined && help.has(first)) check(`neuron-blip ${text}`, `${name}:${line}`);
        else if (/^(npx|neuron-blip|npm|node|python3?) \S/.test(text)) check(text, `${name}:${line}`);
      }
    }
  });

  it("list every error code", () => {
    const codes = readFileSync(join(root, "lib/errors.ts"), "utf8").matchAll(/^ {2}\| "([A-Z_]+)"/gm);
    const rows = readFileSync(join(root, "docs/errors.md"), "utf8").matchAll(/^\| `([A-Z_]+)`/gm);
    const sorted = (matches: Iterable<RegExpExecArray>) => Array.from(matches, ([, code]) => code).sort();
    assert.deepEqual(sorted(rows), sorted(codes));
  });

  it("are all linked from the README, and are packed", () => {
    const links = documents.get("README.md")?.links.map(({ text }) => text.split("#")[0]);
    for (const name of documents.keys()) {
      assert(name === "README.md" || links?.includes(name), `${name} is not linked`);
      assert(isPacked(name), `${name} is not packed`);
    }
  });

  describe("their programs", () => {
    let work = "";
    let complaints: string[] = [];
    let output = "";
    let outcomes: Record<string, string> = {};

    before(async () => {
      work = mkdtempSync(join(tmpdir(), "neuron-blip-documents-"));
      for (const [name, target] of Object.entries(FILES)) symlinkSync(target, join(work, name));
      complaints = (await compile(work)).split("\n").filter((line) => line !== "");
      await using hub = await HubTest.start();
      for (const [name, directory] of Object.entries(ON_THE_HUB)) {
        const names = readdirSync(directory);
        hub.hub.commit(name, Object.fromEntries(names.map((file) => [file, readFileSync(join(directory, file))])));
      }
      const names = programs.filter(({ text }) => !text.includes(NEEDS_A_DEVICE)).map(({ name }) => name);
      ({ output } = await finish(["run.js", ...names], work));
      if (existsSync(join(work, "outcomes.json"))) {
        outcomes = JSON.parse(readFileSync(join(work, "outcomes.json"), "utf8"));
      }
    });

    after(() => rmSync(work, { recursive: true, force: true }));

    for (const { place, name, text } of programs) {
      const needsDevice = text.includes(NEEDS_A_DEVICE);
      it(`${needsDevice ? "compile" : "compile and run"}: ${place}`, () => {
        assert.deepEqual(
          complaints.filter((line) => line.startsWith(`${name}.ts(`)),
          [],
        );
        if (!needsDevice) assert.equal(outcomes[name] ?? output, "ran");
      });
    }

    it("compile without a complaint about anything else", () => {
      const isOfOne = (line: string) => programs.some(({ name }) => line.startsWith(`${name}.ts(`));
      assert.deepEqual(
        complaints.filter((line) => !isOfOne(line)),
        [],
      );
    });
  });
});
