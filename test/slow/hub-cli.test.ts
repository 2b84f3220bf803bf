// Names on the Hugging Face Hub on the command line, against a stand-in for the Hub.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { demo, demoQuestions } from "../helpers.js";
import { blipFiles, HubTest } from "../hub/hub-test.js";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const [{ picture, question }] = demoQuestions as [(typeof demoQuestions)[number]];
const file = join(demo, picture);
const NAME = "owner/blip";

/** In place of Python: asks for each argument before `--` as scripts/compile/trace.py asks for its model, and prints the answers. */
const ASKER = `#!${process.execPath}
const { createReadStream, writeSync } = require("node:fs");
const [, , , ...args] = process.argv;
const fd = Number(process.env.NEURON_BLIP_HUB_FD);
const asked = args.map((text) => JSON.parse(text));
const { Socket } = require("node:net");
const socket = new Socket({ fd });
const answers = require("node:readline").createInterface({ input: socket })[Symbol.asyncIterator]();
(async () => {
  for (const request of asked) {
    socket.write(JSON.stringify(request) + "\\n");
    console.log((await answers.next()).value);
  }
  process.exit(0);
})();
`;

describe("a name on the Hugging Face Hub on the command line", () => {
  let test: HubTest;

  beforeEach(async () => {
    test = await HubTest.start();
  });

  afterEach(() => test[Symbol.asyncDispose]());

  /** Runs a command beside the stand-in, which is in this process. */
  async function cli(args: string[], env: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: test.home,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    const texts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (piece) => {
        texts[name] += piece;
      });
    }
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { code, ...texts };
  }

  it("is taken by every command that takes a model, which says in a line where there is none", async () => {
    for (const args of [
      ["ask", NAME, file, question],
      ["caption", NAME, file],
      ["match", NAME, file, "a dog"],
      ["validate", NAME],
      ["ask", join(demo, "model"), file, question, "--tokenizer", NAME],
    ]) {
      const { code, stdout, stderr } = await cli(args);
      assert.equal(code, 1, args.join(" "));
      assert.equal(stdout, "");
      assert.match(
        stderr,
        /^neuron-blip: There is no directory "owner\/blip" here, and no model .*\[ARTIFACT_NOT_FOUND\]\n$/,
      );
    }
  });

  it("is fetched with a line on the standard error where that is no terminal, and nothing on the standard output", async () => {
    const commit = test.hub.commit(NAME, blipFiles(), { branch: "v1" });
    const args = ["ask", NAME, file, question, "--revision", "v1"];
    const { stdout, stderr } = await cli(args);
    assert.equal(stdout, "");
    assert.match(stderr, /^neuron-blip: fetching owner\/blip, 300 kB, into the Hugging Face cache\n/);
    assert.doesNotMatch(stderr, /\r|%/);
    assert(test.names(NAME, "snapshots", commit).includes("model.safetensors"));
    const again = await cli(args);
    assert.doesNotMatch(again.stderr, /fetching/);
    const newer = test.hub.commit(NAME, blipFiles(1000, 2), { branch: "v1" });
    const quiet = await cli([...args, "--update"], { HF_HUB_DISABLE_PROGRESS_BARS: "1" });
    assert.doesNotMatch(quiet.stderr, /fetching/);
    assert(test.names(NAME, "snapshots", newer).includes("model.safetensors"));
  });

  it("has a revision that can be none refused as wrong usage", async () => {
    const { code, stderr } = await cli(["ask", NAME, file, question, "--revision", "a..b"]);
    assert.equal(code, 2);
    assert.match(stderr, /^neuron-blip: --revision must be a branch/);
  });

  it("is looked at by the doctor in the cache alone", async () => {
    const commit = test.hub.commit(NAME, blipFiles());
    const before = await cli(["doctor", NAME, "--json"]);
    assert.match(before.stdout, /NeuronBlip\.fromPretrained\(\\"owner\/blip\\"\).*fetch it/);
    assert.deepEqual(test.hub.requests, []);
    await cli(["validate", NAME]);
    test.hub.requests.length = 0;
    const after = await cli(["doctor", NAME, "--json"]);
    assert(after.stdout.includes(join("snapshots", commit)), after.stdout);
    assert.deepEqual(test.hub.requests, []);
  });

  it("is fetched for the compiler when it asks, and what it asks wrongly gets the reason", async () => {
    const commit = test.hub.commit(NAME, blipFiles());
    const old = test.hub.commit(NAME, blipFiles(1000, 2), { branch: "old" });
    mkdirSync(join(test.home, "local", "blip"), { recursive: true });
    const python = join(test.home, "python");
    writeFileSync(python, ASKER);
    chmodSync(python, 0o755);
    const asked = [
      { model: NAME, revision: "old", weights: false },
      { model: NAME, revision: null, weights: true },
      { model: "owner/none", revision: null, weights: true },
      { model: "local/blip", revision: null, weights: true },
    ].map((request) => JSON.stringify(request));
    const { code, stdout, stderr } = await cli(["compile", ...asked], { NEURON_BLIP_PYTHON: python });
    assert.equal(code, 0, stderr);
    const [processor, model, none, local] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(processor.directory, test.folder(NAME, "snapshots", old));
    assert(!test.names(NAME, "snapshots", old).includes("model.safetensors"));
    assert.equal(model.directory, test.folder(NAME, "snapshots", commit));
    assert(readFileSync(join(model.directory, "model.safetensors")).length > 0);
    assert.match(none.error, /no model of that name/);
    assert.equal(local.directory, "local/blip");
    assert.deepEqual(test.hub.seen(/\.bin/), []);
  });
});
