// The package as its users get it: packed, and installed from the tarball into an empty project.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(import.meta.url);
const work = mkdtempSync(join(tmpdir(), "neuron-blip-package-"));
const [question] = JSON.parse(readFileSync(join(root, "demo", "questions.json"), "utf8"));

// What npm tells the scripts it runs would make an npm in here work on this project rather than on the empty one.
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|command|config_local_prefix)|INIT_CWD|NODE_PATH)/.test(name),
  ),
);

/** Runs a program to its end. */
function run(program: string, args: string[], cwd: string): SpawnSyncReturns<string> {
  return spawnSync(program, args, { cwd, env, encoding: "utf8", maxBuffer: 64 << 20 });
}

/** Runs a program that must succeed. */
function succeed(program: string, args: string[], cwd: string): string {
  const { status, stdout, stderr } = run(program, args, cwd);
  assert.equal(status, 0, `${program} ${args.join(" ")} exited with ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Makes an empty project and installs the tarball into it. */
function install(name: string, tarball: string, ...options: string[]): string {
  const project = join(work, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name, version: "1.0.0", private: true }));
  succeed("npm", ["install", "--no-audit", "--no-fund", ...options, tarball], project);
  return project;
}

/** A program that asks the demo model a question, and prints the answer. */
const ASK = `
  const blip = await NeuronBlip.fromPretrained("node_modules/neuron-blip/demo/model");
  const { answer } = await blip.answer(
    ${JSON.stringify(join("node_modules/neuron-blip/demo", question.picture))}, ${JSON.stringify(question.question)});
  console.log(answer);
  await blip.dispose();`;
const IMPORT = `import { NeuronBlip } from "neuron-blip";${ASK}`;
const REQUIRE = `const { NeuronBlip } = require("neuron-blip"); (async () => {${ASK}})();`;

describe("the package", function () {
  this.timeout(20 * 60_000);
  let tarball = "";

  before(() => {
    const [packed] = JSON.parse(
      succeed("npm", ["pack", "--json", "--pack-destination", work], root).replace(/^[^[]*/, ""),
    );
    tarball = join(work, packed.filename);
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("has what its users need and nothing else", () => {
    const names = succeed("tar", ["-tzf", tarball], work).trim().split("\n");
    for (const name of [
      "dist/index.js",
      "dist/index.d.ts",
      "dist/cli/main.js",
      "native/CMakeLists.txt",
      "binding.gyp",
    ]) {
      assert(names.includes(`package/${name}`), `${name} is missing`);
    }
    for (const name of ["scripts/build.mjs", "scripts/trace.py", "demo/model/config.json", "LICENSE", "README.md"]) {
      assert(names.includes(`package/${name}`), `${name} is missing`);
    }
    const unwanted = names.filter((name) =>
      /package\/(test|build|\.ci|docs)|__pycache__|\.pyc$|stamp|tsbuildinfo/.test(name),
    );
    assert.deepEqual(unwanted, []);
    // Every script of ours that a packed script imports is packed.
    for (const name of names.filter((path) => path.endsWith(".mjs"))) {
      const source = succeed("tar", ["-xzOf", tarball, name], work);
      for (const [, imported = ""] of source.matchAll(/from "\.\/([^"]+)"/g)) {
        assert(names.includes(join(dirname(name), imported)), `${name} imports ${imported}, which is missing`);
      }
    }
  });

  it("has no faults that publint finds", () => {
    succeed(process.execPath, [join(dirname(require.resolve("publint")), "cli.js"), "--strict"], root);
  });

  describe("installed with its install script", () => {
    let project = "";

    before(() => {
      project = install("with-scripts", tarball, "--ignore-scripts=false");
      // npm 12 and newer leave a dependency's scripts out whatever the option says.
      if (!existsSync(join(project, "node_modules/neuron-blip/build/Release/neuron_blip.node"))) {
        succeed("npx", ["--no", "neuron-blip", "build"], project);
      }
    });

    it("answers by import", () => {
      writeFileSync(join(project, "ask.mjs"), IMPORT);
      assert.equal(succeed(process.execPath, ["ask.mjs"], project).trim(), question.answer);
    });

    it("answers by require", () => {
      writeFileSync(join(project, "ask.cjs"), REQUIRE);
      assert.equal(succeed(process.execPath, ["ask.cjs"], project).trim(), question.answer);
    });

    it("answers on the command line", () => {
      const picture = join("node_modules/neuron-blip/demo", question.picture);
      const args = ["--no", "neuron-blip", "ask", "node_modules/neuron-blip/demo/model", picture, question.question];
      assert.match(succeed("npx", args, project), new RegExp(`\\b${question.answer}\\b`));
    });

    it("has types that check, from ES modules and from CommonJS", () => {
      writeFileSync(
        join(project, "typed.mts"),
        IMPORT.replace("const { answer }", "const { answer }: { answer: string }"),
      );
      writeFileSync(
        join(project, "typed.cts"),
        'import { NeuronBlip } from "neuron-blip";\n' +
          'export const model: Promise<NeuronBlip> = NeuronBlip.fromPretrained("directory", { numModels: 2 });\n' +
          "// @ts-expect-error: the number of models is a number\n" +
          'export const wrong = NeuronBlip.fromPretrained("directory", { numModels: "2" });\n',
      );
      const compilerOptions = {
        ...{ module: "NodeNext", target: "ES2022", lib: ["ES2022", "ESNext.Disposable"], strict: true, noEmit: true },
        ...{ exactOptionalPropertyTypes: true, types: ["node"], typeRoots: [join(root, "node_modules/@types")] },
      };
      writeFileSync(
        join(project, "tsconfig.json"),
        JSON.stringify({ compilerOptions, files: ["typed.mts", "typed.cts"] }),
      );
      succeed(process.execPath, [require.resolve("typescript/bin/tsc"), "-p", project], project);
    });
  });

  describe("installed without its install script", () => {
    let project = "";

    before(() => {
      project = install("without-scripts", tarball, "--ignore-scripts");
      writeFileSync(join(project, "ask.mjs"), IMPORT);
    });

    it("names the command that builds the addon, and that command works", () => {
      const { status, stderr } = run(process.execPath, ["ask.mjs"], project);
      assert.equal(status, 1);
      assert.match(stderr, /ADDON_NOT_BUILT/);
      const [, command = ""] = /`(npx neuron-blip build)`/.exec(stderr) ?? [];
      assert.equal(command, "npx neuron-blip build", stderr);
      const [program = "", ...args] = command.split(" ");
      succeed(program, args, project);
      assert.equal(succeed(process.execPath, ["ask.mjs"], project).trim(), question.answer);
    });

    it("is built by node-gyp rebuild too", function () {
      const nodeGyp = findNodeGyp();
      const include = dirname(dirname(process.execPath));
      // node-gyp fetches Node's headers, which an installed Node brings along: no network is needed for those.
      const headers = existsSync(join(include, "include/node/node.h")) ? ["--nodedir", include] : [];
      if (nodeGyp === undefined) this.skip();
      const directory = join(project, "node_modules/neuron-blip");
      rmSync(join(directory, "build"), { recursive: true });
      succeed(process.execPath, [nodeGyp, "rebuild", ...headers], directory);
      assert(existsSync(join(directory, "build/Release/neuron_blip.node")), readdirSync(directory).join(" "));
      assert.equal(succeed(process.execPath, ["ask.mjs"], project).trim(), question.answer);
    });
  });
});

/** The node-gyp that npm brings along. */
function findNodeGyp(): string | undefined {
  const beside = join(succeed("npm", ["root", "-g"], work).trim(), "npm/node_modules/node-gyp/bin/node-gyp.js");
  return [process.env.npm_config_node_gyp, beside].find((path) => path !== undefined && existsSync(path));
}
