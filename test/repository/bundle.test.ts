// A program with the package inside a bundle: what fails says that it must stay outside, and how bundlers are told so.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build } from "esbuild";
import { chosenBinary } from "../../dist/torch/native.js";
import { demo, demoModel, demoQuestions } from "../helpers.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const [{ picture, question, answer }] = demoQuestions as [(typeof demoQuestions)[number]];

/** Prints what becomes of each thing that needs the addon, a picture's decoder, or both. */
const PROGRAM = `
  import { loadImage, NeuronBlip, Tensor } from "neuron-blip";
  const tell = async (name, call) => {
    const said = await call().then((value) => ({ value }), ({ code, message }) => ({ code, message }));
    console.log(JSON.stringify({ name, ...said }));
  };
  const picture = ${JSON.stringify(join(demo, picture))};
  const main = async () => {
    await tell("addon", async () => Tensor.zeros("float32", [1]).size);
    await tell("picture", async () => (await loadImage(picture)).width);
    await tell("model", async () => {
      const blip = await NeuronBlip.fromPretrained(${JSON.stringify(demoModel)});
      const { answer } = await blip.answer(picture, ${JSON.stringify(question)});
      await blip.dispose();
      return answer;
    });
  };
  main();`;

interface Said {
  name: string;
  value?: unknown;
  code?: string;
  message?: string;
}

/** Whichever addon these tests run with: spawn leaves out what is undefined. */
const NONE_NAMED = { NEURON_BLIP_ADDON: undefined };

describe("neuron-blip and bundlers", () => {
  let work = "";

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-bundle-"));
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  /** Bundles the program, runs it, and returns what it said. */
  async function bundleAndRun(
    name: string,
    options: BuildOptions,
    env: NodeJS.ProcessEnv = {},
    directory = work,
  ): Promise<Said[]> {
    const outfile = join(directory, name);
    writeFileSync(join(directory, "program.mjs"), PROGRAM);
    await build({
      entryPoints: [join(directory, "program.mjs")],
      bundle: true,
      platform: "node",
      outfile,
      logLevel: "silent",
      external: ["sharp"],
      alias: { "neuron-blip": join(root, "dist", "index.js") },
      ...options,
    });
    const { stdout, stderr } = spawnSync(process.execPath, [outfile], {
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
    assert.notEqual(stdout, "", stderr);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  for (const format of ["esm", "cjs"] as const) {
    const name = `bundled.${format === "esm" ? "mjs" : "cjs"}`;

    it(`say so in ${format === "esm" ? "an ES module" : "CommonJS"}, for the addon and for pictures`, async () => {
      for (const minify of [false, true]) {
        for (const { name: what, code, message = "" } of await bundleAndRun(name, { format, minify }, NONE_NAMED)) {
          assert.equal(code, "BUNDLED", `${what}: ${message}`);
          for (const told of [
            /must stay outside the bundle/,
            /esbuild: --external:neuron-blip/,
            /Rollup: external: \["neuron-blip"\]/,
            /Vite: ssr\.external: \["neuron-blip"\].*build\.rollupOptions\.external/,
            /webpack: externals: \{ "neuron-blip": "commonjs neuron-blip" \}/,
            /Next\.js: serverExternalPackages: \["neuron-blip"\]/,
          ]) {
            assert.match(message, told, what);
          }
          assert(message.length < 1000);
        }
      }
    });

    it(`say so of pictures where the addon is named, in ${format}`, async () => {
      const said = await bundleAndRun(name, { format }, { NEURON_BLIP_ADDON: chosenBinary().addon });
      assert.deepEqual(
        said.map(({ name: what, value, code }) => [what, value ?? code]),
        [
          ["addon", 1],
          ["picture", "BUNDLED"],
          ["model", "BUNDLED"],
        ],
      );
    });
  }

  it("work together where the package is external, as the message says", async () => {
    // Inside the project the package is found by its name.
    const inside = mkdtempSync(join(root, "build", "bundle-"));
    try {
      const options: BuildOptions = { format: "esm", external: ["neuron-blip"], alias: {} };
      const said = await bundleAndRun("external.mjs", options, {}, inside);
      assert.deepEqual(
        said.map(({ value }) => value),
        [1, 384, answer],
      );
    } finally {
      rmSync(inside, { recursive: true });
    }
  });
});
