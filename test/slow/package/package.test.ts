// The packages as their users get them: packed, published to a registry on this host, and installed by name into empty projects.
// With NEURON_BLIP_TEST_ALL=1 (`npm run test:package -- --all`) each package manager is tried with each Node that it supports; otherwise
// each package manager once, and each Node once.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readBinary } from "../../../dist/torch/binary/elf.js";
import { cachedLibtorch } from "../../../scripts/addon/fetch-libtorch.mjs";
import { demo, demoModel, demoQuestions } from "../../helpers.ts";
import { makeProject, PACKAGE_MANAGERS, type PackageManager } from "./package-managers.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { fetchTools, type NodeName } from "./tools.ts";
import { compare, newestNeeds } from "./version-needs.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const release = join(root, "release");
const require = createRequire(import.meta.url);
const [asked] = demoQuestions;
assert(asked !== undefined);
const { question, answer } = asked;
/** What a program in a project asks, and about what. */
const MODEL = demoModel;
const PICTURE = join(demo, asked.picture);

// What npm tells the scripts that it runs would make an npm in here work on this project rather than on the empty one.
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|command|config_local_prefix)|INIT_CWD|NODE_PATH|NODE_OPTIONS)/.test(name),
  ),
);

/** Runs a program to its end. */
function run(command: readonly string[], cwd: string, environment: NodeJS.ProcessEnv = env): SpawnSyncReturns<string> {
  const [program = "", ...args] = command;
  return spawnSync(program, args, { cwd, env: environment, encoding: "utf8", maxBuffer: 64 << 20 });
}

/** Runs a program that must succeed. */
function succeed(command: readonly string[], cwd: string, environment?: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr, error } = run(command, cwd, environment);
  assert.equal(status, 0, `${command.join(" ")} exited with ${status ?? error}\n${stdout}\n${stderr}`);
  return stdout;
}

const ASK = `
  const [model, picture, question] = process.argv.slice(2);
  const blip = await NeuronBlip.fromPretrained(model);
  const { answer } = await blip.answer(picture, question);
  console.log(answer);
  await blip.dispose();`;
const IMPORT = `import { NeuronBlip } from "neuron-blip";${ASK}`;
const REQUIRE = `const { NeuronBlip } = require("neuron-blip"); (async () => {${ASK}})();`;
const WHAT = [MODEL, PICTURE, question];

/** Megabytes on the disk below a directory; what is there under several names counts once. */
function megabytes(directory: string): number {
  const seen = new Set<number>();
  let bytes = 0;
  const add = (path: string) => {
    const found = lstatSync(path);
    if (!seen.has(found.ino)) bytes += found.blocks * 512;
    seen.add(found.ino);
    if (found.isDirectory()) for (const name of readdirSync(path)) add(join(path, name));
  };
  add(directory);
  return bytes / 1e6;
}

describe("the packages", function () {
  this.timeout(30 * 60_000);
  let work = "";
  let tools = "";
  let registry: Registry;
  const tarballs = () => readdirSync(release).map((name) => join(release, name));
  const tarball = (name: string) => {
    const found = tarballs().find((path) => new RegExp(`^${name}-\\d`).test(basename(path)));
    assert(found !== undefined, `no tarball of ${name} in ${readdirSync(release)}`);
    return found;
  };

  before(async () => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-package-"));
    succeed([process.execPath, join(root, "scripts/release/pack.mjs")], root);
    tools = fetchTools();
    registry = await startRegistry(tools, join(work, "registry"), tarballs());
  });

  after(async () => {
    await registry?.stop();
    rmSync(work, { recursive: true, force: true });
  });

  describe("packed", () => {
    const namesIn = (name: string) =>
      succeed(["tar", "-tzf", tarball(name)], work)
        .trim()
        .split("\n");
    const manifestOf = (name: string) =>
      JSON.parse(succeed(["tar", "-xzOf", tarball(name), "package/package.json"], work));

    it("have what their users need and nothing else", () => {
      const names = namesIn("neuron-blip");
      for (const name of [
        ...["dist/index.js", "dist/index.d.ts", "dist/cli/main.js", "native/CMakeLists.txt", "native/loader.c"],
        ...[
          "scripts/addon/build.mjs",
          "scripts/addon/build-tools.lock.json",
          "scripts/compile/trace.py",
          "demo/model/config.json",
        ],
        ...["LICENSE", "README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/guide.md", "docs/errors.md"],
      ]) {
        assert(names.includes(`package/${name}`), `${name} is missing`);
      }
      const unwanted = names.filter((name) =>
        /package\/(test|build|packages|release|\.ci|docs\/api|binding\.gyp)|__pycache__|\.pyc$|stamp|tsbuildinfo|\.node$/.test(
          name,
        ),
      );
      assert.deepEqual(unwanted, []);
      // Every script of ours that a packed script imports is packed.
      for (const name of names.filter((path) => path.endsWith(".mjs"))) {
        const source = succeed(["tar", "-xzOf", tarball("neuron-blip"), name], work);
        for (const [, imported = ""] of source.matchAll(/from "\.\/([^"]+)"/g)) {
          assert(names.includes(join(dirname(name), imported)), `${name} imports ${imported}, which is missing`);
        }
      }
      assert.deepEqual(namesIn("neuron-blip-linux-x64").sort(), [
        ...["package/LICENSE", "package/README.md", "package/loader.node", "package/package.json"],
        ...["package/torch-2.13/neuron_blip.json", "package/torch-2.13/neuron_blip.node"],
      ]);
      const libtorch = namesIn("neuron-blip-libtorch-linux-x64");
      assert.deepEqual(
        libtorch.filter((name) => name.startsWith("package/lib/")).sort(),
        ["libc10.so", "libgomp.so.1", "libtorch_cpu.so"].map((name) => `package/lib/${name}`),
      );
      const server = namesIn("neuron-blip-server");
      for (const name of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts", "lib/index.ts"]) {
        assert(server.includes(`package/${name}`), `${name} is missing`);
      }
      assert.deepEqual(
        server.filter((name) => /package\/(test|node_modules|tsconfig)|stamp|tsbuildinfo/.test(name)),
        [],
      );
      const licences = [
        "LICENSE",
        "licenses/LICENSE",
        "licenses/libgomp-LICENSE.txt",
        "licenses/third_party/onnx/LICENSE",
      ];
      for (const name of licences) assert(libtorch.includes(`package/${name}`), `${name} is missing`);
    });

    it("run no scripts when they are installed, and name each other's exact versions and platforms", () => {
      const main = manifestOf("neuron-blip");
      const scripts = ["preinstall", "install", "postinstall", "prepare"];
      assert.equal(main.gypfile, false);
      for (const name of ["neuron-blip", "neuron-blip-linux-x64", "neuron-blip-libtorch-linux-x64"]) {
        const manifest = manifestOf(name);
        assert.deepEqual(
          Object.keys(manifest.scripts ?? {}).filter((script) => scripts.includes(script)),
          [],
        );
        if (name === "neuron-blip") continue;
        assert.equal(main.optionalDependencies[manifest.name], manifest.version);
        assert.deepEqual([manifest.os, manifest.cpu, manifest.libc], [["linux"], ["x64"], ["glibc"]]);
        assert(lstatSync(tarball(name)).size < 200e6, "the registry takes 200 MB");
      }
    });

    it("have a server that runs on any platform, beside the library of its version", () => {
      const main = manifestOf("neuron-blip");
      const server = manifestOf("neuron-blip-server");
      const { "neuron-blip": library, ...forQueues } = server.peerDependencies;
      assert.equal(library, main.version);
      assert.equal(server.version, main.version);
      // Who has no queue need not install what `work` takes.
      assert.deepEqual(Object.keys(forQueues).sort(), ["bullmq", "ioredis"]);
      assert.deepEqual(server.peerDependenciesMeta, { bullmq: { optional: true }, ioredis: { optional: true } });
      for (const name of ["os", "private", "scripts"]) assert(!(name in server), name);
    });

    it("ask for no newer C and C++ libraries than libtorch itself, and name no directory of the host that made them", () => {
      const unpacked = join(work, "unpacked");
      mkdirSync(unpacked);
      for (const name of ["neuron-blip-linux-x64", "neuron-blip-libtorch-linux-x64"]) {
        succeed(["tar", "-xzf", tarball(name), "-C", unpacked], work);
      }
      const at = (name: string) => join(unpacked, "package", name);
      const libtorch = newestNeeds(at("lib/libtorch_cpu.so"));
      assert.deepEqual(libtorch.GLIBC, [2, 28]);
      for (const name of ["loader.node", "torch-2.13/neuron_blip.node"]) {
        const needs = newestNeeds(at(name));
        assert(needs.GLIBC !== undefined, `${name} asks for nothing of glibc`);
        assert.deepEqual(readBinary(at(name)).runpath, []);
        for (const directory of [root, join(homedir(), ".cache")]) {
          assert(!readFileSync(at(name)).includes(directory), `${name} has ${directory} in it`);
        }
        for (const [kind, version] of Object.entries(needs)) {
          const most = libtorch[kind];
          assert(most !== undefined && compare(version, most) <= 0, `${name} asks for ${kind}_${version.join(".")}`);
        }
      }
      rmSync(unpacked, { recursive: true });
    });

    it("have no faults that publint finds", () => {
      succeed([process.execPath, join(dirname(require.resolve("publint")), "cli.js"), "--strict"], root);
    });
  });

  describe("installed by name by a user with Node alone, scripts off", () => {
    const measured: string[] = [];
    const all = process.env.NEURON_BLIP_TEST_ALL === "1";

    /** Installs, asks, measures and cleans up. */
    function install(manager: PackageManager, nodeName: NodeName): void {
      const cell = mkdtempSync(join(work, "cell-"));
      try {
        const node = join(tools, nodeName, "bin/node");
        const { project, env: bare } = makeProject(cell, manager, node, registry.address);
        const start = performance.now();
        succeed(manager.add(tools, node), project, bare);
        const installed = performance.now();
        writeFileSync(join(project, "ask.mjs"), IMPORT);
        const command = manager.run?.(tools, node) ?? [node];
        const said = succeed([...command, "ask.mjs", ...WHAT], project, bare).trim();
        const answered = performance.now();
        const inSeconds = (ms: number) => (ms / 1000).toFixed(1).padStart(6);
        const inMegabytes = (path: string) => megabytes(path).toFixed(0).padStart(6);
        measured.push(
          `${manager.name.padEnd(22)} ${nodeName.padEnd(8)} ${inSeconds(installed - start)} s ${inSeconds(answered - installed)} s ` +
            `${inMegabytes(project)} MB ${inMegabytes(join(cell, "home"))} MB`,
        );
        assert.equal(said, answer);
      } finally {
        rmSync(cell, { recursive: true, force: true });
      }
    }

    after(() => {
      console.log(`\n${" ".repeat(31)}installed answered  project   caches\n${measured.join("\n")}\n`);
    });

    for (const manager of PACKAGE_MANAGERS) {
      for (const node of all ? manager.nodes : manager.nodes.slice(0, 1)) {
        it(`answer: ${manager.name}, ${node.replace("node-", "Node ")}`, () => install(manager, node));
      }
    }

    it("were tried with every Node", () => {
      const first = PACKAGE_MANAGERS.flatMap(({ nodes }) => nodes.slice(0, 1));
      assert.deepEqual([...new Set(first)].sort(), ["node-20", "node-22", "node-24", "node-26"]);
    });
  });

  describe("in a developer's project", () => {
    let project = "";

    /** An empty project of npm's with the package in it. */
    function make(name: string, ...options: string[]): string {
      const directory = join(work, name);
      mkdirSync(directory);
      writeFileSync(join(directory, "package.json"), JSON.stringify({ name, version: "1.0.0", private: true }));
      writeFileSync(join(directory, ".npmrc"), `registry=${registry.address}\n`);
      succeed(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", ...options, "neuron-blip"], directory);
      writeFileSync(join(directory, "ask.mjs"), IMPORT);
      return directory;
    }

    before(() => {
      project = make("developer");
    });

    it("answer by require, and on the command line", () => {
      writeFileSync(join(project, "ask.cjs"), REQUIRE);
      assert.equal(succeed([process.execPath, "ask.cjs", ...WHAT], project).trim(), answer);
      assert.match(succeed(["npx", "--no", "neuron-blip", "ask", ...WHAT], project), new RegExp(`\\b${answer}\\b`));
    });

    it("say how to install the server, which then serves, where it is not there", () => {
      const serve = ["npx", "--no", "neuron-blip", "serve", "--help"];
      const { status, stderr } = run(serve, project);
      assert.equal(status, 1);
      const [, command = ""] = /: (npm install @neuron-blip\/server)$/m.exec(stderr) ?? [];
      assert.equal(command, "npm install @neuron-blip/server", stderr);
      succeed([...command.split(" "), "--ignore-scripts", "--no-audit", "--no-fund"], project);
      assert.match(succeed(serve, project), /Usage: neuron-blip serve \[MODEL\]/);
    });

    it("say in the doctor's report which addon and libtorch were chosen, and why", () => {
      const { findings } = JSON.parse(run(["npx", "--no", "neuron-blip", "doctor", "--json"], project).stdout);
      const found = findings.find(({ id }: { id: string }) => id === "addon");
      assert.equal(found.status, "ok", found.what);
      assert.match(
        found.what,
        /torch-2\.13\/neuron_blip\.node.*with the libtorch 2\.13\.0 of @neuron-blip\/libtorch-linux-x64/,
      );
    });

    it("say what is damaged where a library is cut, unreadable or gone", () => {
      const library = join(project, "node_modules/@neuron-blip/libtorch-linux-x64/lib/libc10.so");
      const whole = readFileSync(library);
      try {
        writeFileSync(library, whole.subarray(0, 100_000));
        const cut = run([process.execPath, "ask.mjs", ...WHAT], project);
        assert.match(cut.stderr, /LIBTORCH_NOT_FOUND/);
        assert.match(cut.stderr, /libc10\.so" is cut short/);
        assert.equal(cut.signal, null);
        rmSync(library);
        assert.match(run([process.execPath, "ask.mjs", ...WHAT], project).stderr, /libc10\.so" is not there/);
      } finally {
        writeFileSync(library, whole);
      }
      assert.equal(succeed([process.execPath, "ask.mjs", ...WHAT], project).trim(), answer);
    });

    it("have types that check, from ES modules and from CommonJS", () => {
      writeFileSync(
        join(project, "typed.mts"),
        'import { NeuronBlip } from "neuron-blip";\n' +
          'const { answer }: { answer: string } = await (await NeuronBlip.fromPretrained("d")).answer("p", "q");\n' +
          "console.log(answer);\n",
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
      succeed([process.execPath, require.resolve("typescript/bin/tsc"), "-p", project], project);
    });

    it("name the command that builds the addon where the platform's packages were left out, and that command works", () => {
      const bare = make("bare", "--omit=optional");
      // Its own cache, which has the libtorch that was fetched before.
      const cache = join(work, "cache");
      const libtorch = cachedLibtorch();
      assert(libtorch !== undefined);
      mkdirSync(join(cache, "neuron-blip"), { recursive: true });
      symlinkSync(libtorch, join(cache, "neuron-blip", basename(libtorch)));
      const own = { ...env, NEURON_BLIP_CACHE: cache, NEURON_BLIP_LIBTORCH: undefined, NEURON_BLIP_ADDON: undefined };
      const { status, stderr } = run([process.execPath, "ask.mjs", ...WHAT], bare, own);
      assert.equal(status, 1);
      assert.match(stderr, /ADDON_NOT_BUILT/);
      assert.match(stderr, /package @neuron-blip\/linux-x64: is not installed/);
      const [, command = ""] = /`(npx neuron-blip build)`/.exec(stderr) ?? [];
      assert.equal(command, "npx neuron-blip build", stderr);
      const told = succeed(command.split(" "), bare, own);
      assert.match(told, /fetching cmake-js .*building the addon against libtorch 2\.13\.0/s);
      assert(!existsSync(join(bare, "node_modules/neuron-blip/build")), "it was built into the package");
      assert.equal(succeed([process.execPath, "ask.mjs", ...WHAT], bare, own).trim(), answer);
      assert.equal(succeed(command.split(" "), bare, own), "");
    });
  });
});
