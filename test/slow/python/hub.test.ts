// One Hugging Face cache for this package and for Python's huggingface_hub, in both directions, with a stand-in for the Hub. Needs
// huggingface_hub, torch and transformers in the Python that NEURON_BLIP_PYTHON names: scripts/parity/test-parity.mjs has one.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { downloadModel } from "../../../dist/hub/download-model.js";
import { blipFiles, HubTest } from "../../hub/hub-test.js";

const python = process.env.NEURON_BLIP_PYTHON ?? "python3";
const root = fileURLToPath(new URL("../../..", import.meta.url));
const main = join(root, "dist", "cli", "main.js");
const NAME = "owner/blip";
const WANTED = [
  "config.json",
  "model.safetensors",
  "preprocessor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** Prints the directory of the files that it has fetched. */
const FETCH = `
import os, sys
from huggingface_hub import hf_hub_download
paths = [hf_hub_download(${JSON.stringify(NAME)}, name, revision=sys.argv[1] if len(sys.argv) > 1 else None) for name in ${JSON.stringify(WANTED)}]
print(os.path.dirname(paths[0]))
`;
const SNAPSHOT = `
from huggingface_hub import snapshot_download
print(snapshot_download(${JSON.stringify(NAME)}, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
`;
/** What Python finds of the cache without asking anybody. */
const LOOK = `
import json
from huggingface_hub import scan_cache_dir, try_to_load_from_cache, _CACHED_NO_EXIST
cache = scan_cache_dir()
(repo,) = cache.repos
print(json.dumps({
  "warnings": [str(warning) for warning in cache.warnings],
  "repo": repo.repo_id, "bytes": repo.size_on_disk,
  "refs": {ref: revision.commit_hash for revision in repo.revisions for ref in revision.refs},
  "weights": try_to_load_from_cache(${JSON.stringify(NAME)}, "model.safetensors"),
  "missing": try_to_load_from_cache(${JSON.stringify(NAME)}, "generation_config.json") is _CACHED_NO_EXIST,
}))
`;

describe("the Hugging Face cache, with Python's huggingface_hub", () => {
  let test: HubTest;

  beforeEach(async () => {
    test = await HubTest.start();
  });

  afterEach(() => test[Symbol.asyncDispose]());

  it("has a model that this package has fetched, which Python neither fetches again nor finds fault with", async () => {
    const files = blipFiles(500_000);
    const commit = test.hub.commit(NAME, files);
    const directory = await downloadModel(NAME);
    test.hub.requests.length = 0;
    assert.equal(await run(["-c", FETCH]), directory);
    assert.deepEqual(test.hub.seen(/^GET (store|\/owner)/), []);
    test.hub.requests.length = 0;
    assert.equal(await run(["-c", FETCH], { HF_HUB_OFFLINE: "1" }), directory);
    assert.deepEqual(test.hub.requests, []);
    const found = JSON.parse(await run(["-c", LOOK]));
    assert.deepEqual([found.warnings, found.repo, found.refs, found.missing], [[], NAME, { main: commit }, true]);
    assert.equal(found.weights, join(directory, "model.safetensors"));
    const blobs = test.folder(NAME, "blobs");
    assert.equal(
      found.bytes,
      readdirSync(blobs).reduce((sum, name) => sum + statSync(join(blobs, name)).size, 0),
    );
  });

  for (const [how, script] of Object.entries({ "file by file": FETCH, "as a snapshot": SNAPSHOT })) {
    it(`has a model that Python has fetched ${how}, which is not fetched again`, async () => {
      test.hub.commit(NAME, blipFiles(500_000));
      const directory = await run(["-c", script]);
      test.hub.requests.length = 0;
      assert.equal(await downloadModel(NAME), directory);
      // What Python did not ask for is small.
      assert.deepEqual(test.hub.seen(/store/), []);
      test.hub.requests.length = 0;
      assert.equal(await downloadModel(NAME), directory);
      assert.deepEqual(test.hub.requests, []);
    });
  }

  it("has the same names, links and modes, whoever has fetched the model", async () => {
    test.hub.commit(NAME, blipFiles(500_000));
    const described = () =>
      WANTED.map((name) => {
        const path = test.folder(NAME, "snapshots", test.names(NAME, "snapshots")[0] as string, name);
        return [name, readlinkSync(path), lstatSync(path).mode, statSync(path).mode, readFileSync(path).length];
      });
    await downloadModel(NAME);
    const ours = [described(), readFileSync(test.folder(NAME, "refs", "main"), "utf8")];
    rmSync(join(test.home, "hub"), { recursive: true });
    await run(["-c", FETCH]);
    assert.deepEqual(ours, [described(), readFileSync(test.folder(NAME, "refs", "main"), "utf8")]);
  });

  it("follows a pull request's branch for both", async () => {
    test.hub.commit(NAME, blipFiles(1000, 1));
    test.hub.commit(NAME, blipFiles(1000, 2), { branch: "refs/pr/1" });
    const directory = await downloadModel(NAME, { revision: "refs/pr/1" });
    assert.equal(await run(["-c", FETCH, "refs/pr/1"], { HF_HUB_OFFLINE: "1" }), directory);
  });

  it("takes both at once, and neither harms the other", async () => {
    const files = blipFiles(3_000_000);
    const content = files["model.safetensors"] as Buffer;
    test.hub.commit(NAME, files);
    // Neither gets the end before the other has asked.
    const waiting: (() => void)[] = [];
    test.hub.intercept = (request, response, toStore) => {
      if (!toStore || request.method !== "GET") return false;
      response.writeHead(200, { "content-length": content.length, etag: '"of-the-store"' });
      response.write(content.subarray(0, 1_000_000));
      waiting.push(() => response.end(content.subarray(1_000_000)));
      if (waiting.length === 2) for (const finish of waiting) finish();
      return true;
    };
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "60";
    const [ours, theirs] = await Promise.all([downloadModel(NAME), run(["-c", FETCH])]);
    assert.equal(ours, theirs);
    assert.deepEqual(readFileSync(join(ours, "model.safetensors")), content);
    assert.deepEqual(
      test.names(NAME, "blobs").filter((name) => name.includes(".")),
      [],
    );
  });

  it("gives `neuron-blip compile` its model by name, whose name the manifest has", async () => {
    const made = join(test.home, "made");
    await run([
      join(root, "scripts", "fixtures", "make_fixtures.py"),
      made,
      "--head",
      "question_answering",
      "--shapes",
      "small",
    ]);
    const model = join(made, "small");
    const files = Object.fromEntries(readdirSync(model).map((name) => [name, readFileSync(join(model, name))]));
    const { "model.safetensors": safe, ...texts } = files;
    assert(safe);
    test.hub.commit(NAME, { ...files, "pytorch_model.bin": "a program" }, { branch: "v1" });
    const out = join(test.home, "compiled");
    const args = [NAME, out, "--target", "cpu", "--revision", "v1"];
    await run([main, "compile", ...args], {}, process.execPath);
    const manifest = JSON.parse(readFileSync(join(out, "neuron_blip.json"), "utf8"));
    assert.equal(manifest.source.model, NAME);
    assert.deepEqual(test.hub.seen(/\.bin/), []);
    test.hub.commit("owner/pickled", { ...texts, "pytorch_model.bin": "a program" });
    const refused = run([main, "compile", "owner/pickled", out, "--target", "cpu"], {}, process.execPath);
    await assert.rejects(refused, /no model\.safetensors.*pytorch_model\.bin can hold a program/);
  });
});

/** What a program prints, beside the stand-in, which is in this process. @throws Error with what it complains of. */
async function run(args: string[], env: Readonly<Record<string, string>> = {}, program = python): Promise<string> {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NEURON_BLIP_PYTHON: python, ...env },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (piece) => {
      texts[name] += piece;
    });
  }
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  if (code !== 0) throw new Error(`exit code ${code}: ${texts.stderr}`);
  return texts.stdout.trim();
}
