// Models by their name, from a stand-in for the Hugging Face Hub into the cache that Python's huggingface_hub uses.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BertTokenizer, type DownloadProgress, NeuronBlip } from "neuron-blip";
import { downloadModel, findCached } from "../../dist/hub/download-model.js";
import { readHubSettings } from "../../dist/hub/hub-settings.js";
import { demoModel, fails } from "../helpers.js";
import { sha256 } from "../stand-ins/hub.ts";
import { blipFiles, HubTest, weights } from "./hub-test.js";

const NAME = "owner/blip";
const WANTED = [
  "config.json",
  "model.safetensors",
  "preprocessor_config.json",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
/** An earlier attempt's file that nobody writes any more. */
const LEFT = (etag: string, name = "free-0badcafe") => `${etag}.${name}.incomplete`;

describe("a model of the Hugging Face Hub", () => {
  let test: HubTest;

  beforeEach(async () => {
    test = await HubTest.start();
  });

  afterEach(() => test[Symbol.asyncDispose]());

  it("is fetched into the layout of Python's cache: text and safetensors that are needed, and nothing else", async () => {
    const files = blipFiles();
    const commit = test.hub.commit(NAME, files);
    const directory = await downloadModel(NAME);
    assert.equal(directory, test.folder(NAME, "snapshots", commit));
    assert.deepEqual(test.names(NAME, "snapshots", commit), WANTED);
    for (const name of WANTED) {
      assert.deepEqual(readFileSync(join(directory, name)), Buffer.from(files[name] ?? ""), name);
      const target = readlinkSync(join(directory, name));
      assert.match(target, /^\.\.\/\.\.\/blobs\/[0-9a-f]+$/, "no relative link");
    }
    const etag = sha256(files["model.safetensors"] as Buffer);
    assert.equal(readlinkSync(join(directory, "model.safetensors")), `../../blobs/${etag}`);
    assert.equal(readFileSync(test.folder(NAME, "refs", "main"), "utf8"), commit);
    assert(test.names(NAME, ".no_exist", commit).includes("generation_config.json"));
    assert(!test.names(NAME, "blobs").some((name) => name.includes(".")), "something is left over");
    // As any file that this user makes.
    writeFileSync(join(test.home, "made"), "");
    assert.equal(statSync(join(directory, "model.safetensors")).mode, statSync(join(test.home, "made")).mode);
    assert.deepEqual(test.hub.seen(/\.(bin|h5)|vocab|README/), []);
  });

  it("is fetched once: what the cache has needs no Hub, nor one that is there", async () => {
    test.hub.commit(NAME, blipFiles());
    const directory = await downloadModel(NAME);
    test.hub.requests.length = 0;
    assert.equal(await downloadModel(NAME), directory);
    assert.equal(await findCached(NAME), directory);
    assert.deepEqual(test.hub.requests, []);
  });

  it("is used without a question where Python has kept the list of its files", async () => {
    const commit = test.hub.commit(NAME, blipFiles());
    const directory = await downloadModel(NAME);
    rmSync(test.folder(NAME, ".no_exist"), { recursive: true });
    mkdirSync(test.folder(NAME, "trees"));
    const list = test.folder(NAME, "trees", `${commit}.json`);
    const entries = Object.fromEntries(WANTED.map((name) => [name, { size: 1, blob_id: "x" }]));
    writeFileSync(list, JSON.stringify({ format_version: 1, files: entries }));
    test.hub.requests.length = 0;
    assert.equal(await downloadModel(NAME), directory);
    assert.deepEqual(test.hub.requests, []);
    writeFileSync(list, "{");
    assert.equal(await downloadModel(NAME), directory);
    assert(test.hub.requests.length > 0);
  });

  it("follows a branch that has moved when it is asked to, and fetches only what has changed", async () => {
    const first = test.hub.commit(NAME, blipFiles());
    await downloadModel(NAME);
    const second = test.hub.commit(NAME, { ...blipFiles(), "generation_config.json": '{"max_length": 9}' });
    assert.match(await downloadModel(NAME), new RegExp(`${first}$`));
    test.hub.requests.length = 0;
    assert.match(await downloadModel(NAME, { update: true }), new RegExp(`${second}$`));
    assert.deepEqual(test.hub.seen(/resolve|store/), [`GET /${NAME}/resolve/${second}/generation_config.json`]);
    assert.match(await downloadModel(NAME), new RegExp(`${second}$`));
    assert.match(await downloadModel(NAME, { revision: first }), new RegExp(`${first}$`));
  });

  it("takes a branch, a tag, a pull request and a commit as its revision", async () => {
    const commits = ["main", "v1.0", "refs/pr/3"].map((branch, seed) =>
      test.hub.commit(NAME, blipFiles(1000, seed + 1), { branch }),
    );
    for (const [i, revision] of ["main", "v1.0", "refs/pr/3", commits[1] as string].entries()) {
      const commit = commits[i === 3 ? 1 : i] as string;
      assert.match(await downloadModel(NAME, { revision }), new RegExp(`${commit}$`));
    }
    assert.equal(readFileSync(test.folder(NAME, "refs", "refs", "pr", "3"), "utf8"), commits[2]);
    for (const revision of ["", "a..b", "../up", "-x", "a b", "a\0b", "/main", "x".repeat(300), 7]) {
      await assert.rejects(
        downloadModel(NAME, { revision: revision as string }),
        fails("INVALID_INPUT", /revision must/),
      );
    }
  });

  it("takes the shards that the index names, and refuses an index that names others' files", async () => {
    const { "model.safetensors": _, ...files } = blipFiles();
    const index = (names: readonly string[]) =>
      JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [`layer.${i}`, name])) });
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const commit = test.hub.commit(NAME, {
      ...files,
      "model.safetensors.index.json": index([...shards, shards[0] as string]),
      [shards[0] as string]: weights(5000, 1),
      [shards[1] as string]: weights(6000, 2),
      "other.safetensors": weights(10),
    });
    const directory = await downloadModel(NAME);
    assert.deepEqual(
      test.names(NAME, "snapshots", commit).filter((name) => name.startsWith("model")),
      [...shards, "model.safetensors.index.json"].sort(),
    );
    assert.deepEqual(readFileSync(join(directory, shards[1] as string)), weights(6000, 2));
    test.hub.requests.length = 0;
    await downloadModel(NAME);
    assert.deepEqual(test.hub.requests, [], "a model in shards is asked for again");
    for (const names of [["../../evil.safetensors"], ["model.bin"], [".safetensors"], []]) {
      test.hub.commit("owner/bad", { ...files, "model.safetensors.index.json": index(names) });
      await assert.rejects(downloadModel("owner/bad"), fails("ARTIFACT_CORRUPT", /which files hold the weights/));
    }
    test.hub.commit("owner/bad", { ...files, "model.safetensors.index.json": index(["none.safetensors"]) });
    await assert.rejects(downloadModel("owner/bad"), fails("ARTIFACT_NOT_FOUND", /no file "none\.safetensors"/));
  });

  it("goes on where a connection was cut, as often as that happens, with a Range", async () => {
    const files = blipFiles(1_000_000);
    const commit = test.hub.commit(NAME, files);
    test.hub.cuts.push(400_000, 300_000);
    const settings = { ...(await readHubSettings()), retryDelaysMs: [0, 0] };
    const directory = await downloadModel(NAME, { settings });
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), files["model.safetensors"]);
    const ranges = test.hub.requests.filter(({ toStore }) => toStore).map(({ headers }) => headers.range);
    assert.equal(ranges[0], undefined);
    // What was sent last may be lost with the connection.
    const [second = 0, third = 0] = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]));
    assert(second > 0 && second <= 400_000 && third > second && third <= second + 300_000, `${ranges}`);
    assert.equal(ranges.length, 3);
    assert.deepEqual(
      test.names(NAME, "blobs").filter((name) => name.includes(".")),
      [],
    );
    assert(existsSync(test.folder(NAME, "refs", "main")), commit);
  });

  it("starts anew where the Hub does not give a part, or another than was asked for", async () => {
    const files = blipFiles(1_000_000);
    const content = files["model.safetensors"] as Buffer;
    test.hub.commit(NAME, files);
    const settings = { ...(await readHubSettings()), retryDelaysMs: [0, 0] };
    for (const answer of ["all of it", "another part", "none"]) {
      test.hub.cuts.push(400_000);
      test.hub.intercept = (request, response, toStore) => {
        if (!toStore || request.headers.range === undefined) return false;
        if (answer === "all of it") response.writeHead(200, { "content-length": content.length }).end(content);
        else if (answer === "none") response.writeHead(416).end();
        else {
          const range = `bytes 5-${content.length - 1}/${content.length}`;
          response.writeHead(206, { "content-range": range }).end(content.subarray(5));
        }
        return true;
      };
      const directory = await downloadModel(NAME, { settings });
      assert.deepEqual(readFileSync(join(directory, "model.safetensors")), content, answer);
      rmSync(test.folder(NAME), { recursive: true });
    }
  });

  it("goes on with what an earlier process has left, and leaves another's file alone", async () => {
    const files = blipFiles(1_000_000);
    const content = files["model.safetensors"] as Buffer;
    const etag = sha256(content);
    test.hub.commit(NAME, files);
    const blobs = test.folder(NAME, "blobs");
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, LEFT(etag)), content.subarray(0, 600_000));
    writeFileSync(join(blobs, LEFT(etag, "free-00000001")), content.subarray(0, 5));
    // Python's own; of another host, of now and of long ago.
    const others = [`${etag}.incomplete`, `${etag}.1234abcd.incomplete`, LEFT(etag, "00000000-1-00000000")];
    const old = LEFT(etag, "00000000-1-00000001");
    for (const name of [...others, old]) writeFileSync(join(blobs, name), "somebody else's");
    utimesSync(join(blobs, old), 1, 1);
    const directory = await downloadModel(NAME);
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), content);
    const ranges = test.hub.requests.filter(({ toStore }) => toStore).map(({ headers }) => headers.range);
    assert.deepEqual(ranges, ["bytes=600000-"]);
    assert.deepEqual(
      test.names(NAME, "blobs").filter((name) => name.includes(".")),
      others.sort(),
    );
  });

  it("is fetched whole where what was left over does not fit", async () => {
    const files = blipFiles(1_000_000);
    const content = files["model.safetensors"] as Buffer;
    test.hub.commit(NAME, files);
    const blobs = test.folder(NAME, "blobs");
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, LEFT(sha256(content))), weights(600_000, 77));
    const directory = await downloadModel(NAME);
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), content);
    const ranges = test.hub.requests.filter(({ toStore }) => toStore).map(({ headers }) => headers.range);
    assert.deepEqual(ranges, ["bytes=600000-", undefined]);
  });

  it("is refused where its SHA-256 is not the announced one, and nothing of it stays", async () => {
    const files = blipFiles();
    const commit = test.hub.commit(NAME, files);
    const content = Buffer.from(files["model.safetensors"] as Buffer);
    content[1000] = (content[1000] as number) ^ 1;
    for (const wrong of [content, Buffer.concat([content, content])]) {
      test.hub.intercept = (_, response, toStore) => toStore && void response.end(wrong) === undefined;
      await assert.rejects(downloadModel(NAME), fails("ARTIFACT_CORRUPT", /"model\.safetensors".*came damaged/));
      const etag = sha256(files["model.safetensors"] as Buffer);
      assert(!test.names(NAME, "blobs").some((name) => name.startsWith(etag)));
      assert(!existsSync(test.folder(NAME, "snapshots", commit, "model.safetensors")));
      assert(!existsSync(test.folder(NAME, "refs", "main")), "a ref to what is not there");
    }
    test.hub.intercept = undefined;
    await downloadModel(NAME);
  });

  it("is asked for anew where its files change on the way, and refused where they do so each time", async () => {
    test.hub.commit(NAME, blipFiles(300_000, 1));
    let changes = 1;
    let seed = 1;
    test.hub.intercept = (request, response) => {
      if (!request.url?.endsWith("model.safetensors") || changes-- <= 0) return false;
      const files = blipFiles(300_000, ++seed);
      test.hub.commit(NAME, files);
      const etag = sha256(files["model.safetensors"] as Buffer);
      response.writeHead(302, { location: `${test.hub.storeEndpoint}/${etag}`, "x-linked-etag": `"${etag}"` }).end();
      return true;
    };
    const directory = await downloadModel(NAME);
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), weights(300_000, 2));
    rmSync(test.folder(NAME), { recursive: true });
    changes = 100;
    await assert.rejects(downloadModel(NAME), fails("ARTIFACT_CORRUPT", /other files .* than it announces/));
    assert.deepEqual(
      test.names(NAME, "blobs").filter((name) => name.includes(".")),
      [],
    );
  });

  it("is fetched by two processes at once without harm", async () => {
    const files = blipFiles(3_000_000);
    test.hub.commit(NAME, files);
    // Each is held back until the other asks for the weights too.
    const waiting: (() => void)[] = [];
    test.hub.intercept = (request, response, toStore) => {
      const content = files["model.safetensors"] as Buffer;
      if (!toStore || request.method !== "GET") return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 1_000_000));
      waiting.push(() => response.end(content.subarray(1_000_000)));
      if (waiting.length >= 2) for (const finish of waiting) finish();
      return true;
    };
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "60";
    const script = `
      import { downloadModel } from ${JSON.stringify(fileURLToPath(new URL("../../dist/hub/download-model.js", import.meta.url)))};
      process.stdout.write(await downloadModel(${JSON.stringify(NAME)}));`;
    const results = await Promise.all([1, 2].map(() => output(["--input-type=module", "-e", script])));
    for (const { code, stdout, stderr } of results) {
      assert.equal(code, 0, stderr);
      assert.equal(stderr, "");
      assert.deepEqual(readFileSync(join(stdout, "model.safetensors")), files["model.safetensors"]);
    }
    assert.equal(results[0]?.stdout, results[1]?.stdout);
    assert.equal(waiting.length, 2);
    assert.deepEqual(
      test.names(NAME, "blobs").filter((name) => name.includes(".")),
      [],
    );
  });

  it("goes on where a process was killed", async () => {
    const files = blipFiles(1_000_000);
    const content = files["model.safetensors"] as Buffer;
    test.hub.commit(NAME, files);
    const stalled = new Promise<void>((resolve) => {
      test.hub.intercept = (_, response, toStore) => {
        if (!toStore) return false;
        response.writeHead(200, { "content-length": content.length });
        response.write(content.subarray(0, 600_000));
        resolve();
        return true;
      };
    });
    const script = `
      import { downloadModel } from ${JSON.stringify(fileURLToPath(new URL("../../dist/hub/download-model.js", import.meta.url)))};
      await downloadModel(${JSON.stringify(NAME)}, { progress: ({ fileLoaded }) => { if (fileLoaded >= 65536) process.kill(process.pid, "SIGKILL"); } });`;
    const { code } = await output(["--input-type=module", "-e", script]);
    await stalled;
    assert.equal(code, null);
    test.hub.intercept = undefined;
    test.hub.requests.length = 0;
    const directory = await downloadModel(NAME);
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), content);
    const [range] = test.hub.requests.filter(({ toStore }) => toStore).map(({ headers }) => headers.range);
    assert.match(range ?? "", /^bytes=[1-9]\d+-$/);
  });

  it("tells its progress, in bytes of each file and of all, with what was left from before", async () => {
    const files = blipFiles(1_000_000);
    test.hub.commit(NAME, files);
    // Of files with one content, one is fetched.
    const contents = new Map(WANTED.map((name) => [sha256(Buffer.from(files[name] ?? "")), files[name]]));
    const total = [...contents.values()].reduce((sum, content) => sum + Buffer.from(content ?? "").length, 0);
    const events: DownloadProgress[] = [];
    test.hub.cuts.push(400_000);
    await downloadModel(NAME, { progress: (event) => void events.push(event) });
    assert(events.every(({ model, total: all }) => model === NAME && all === total));
    assert.equal(events.at(-1)?.loaded, events.at(-1)?.total);
    for (const [i, { loaded, fileLoaded, fileTotal }] of events.entries()) {
      assert(loaded >= (events[i - 1]?.loaded ?? 0) && fileLoaded <= fileTotal);
    }
    const ofWeights = events.filter(({ file }) => file === "model.safetensors");
    assert.deepEqual([ofWeights[0]?.fileLoaded, ofWeights.at(-1)?.fileLoaded], [0, 1_000_000]);
    const again: DownloadProgress[] = [];
    await downloadModel(NAME, { progress: (event) => void again.push(event) });
    assert.deepEqual(again, [], "what the cache has is reported");
  });

  it("ends where its progress throws, with that as the cause", async () => {
    test.hub.commit(NAME, blipFiles());
    const cause = new Error("the window is closed");
    const progress = () => {
      throw cause;
    };
    const error = await downloadModel(NAME, { progress }).catch((reason) => reason);
    assert.equal(error.code, "INVALID_INPUT");
    assert.equal(error.cause, cause);
    await downloadModel(NAME);
  });

  it("is given up when the signal is aborted, and gone on with by the next call", async () => {
    const files = blipFiles(1_000_000);
    const content = files["model.safetensors"] as Buffer;
    test.hub.commit(NAME, files);
    const controller = new AbortController();
    test.hub.intercept = (_, response, toStore) => {
      if (!toStore) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 500_000)); // and no more, ever
      return true;
    };
    const progress = ({ fileLoaded }: DownloadProgress) => {
      if (fileLoaded >= 65_536) controller.abort(new Error("enough"));
    };
    await assert.rejects(downloadModel(NAME, { signal: controller.signal, progress }), fails("ABORTED"));
    await assert.rejects(downloadModel(NAME, { signal: AbortSignal.abort() }), fails("ABORTED"));
    test.hub.intercept = undefined;
    test.hub.requests.length = 0;
    const directory = await downloadModel(NAME);
    assert.deepEqual(readFileSync(join(directory, "model.safetensors")), content);
    const [range] = test.hub.requests.filter(({ toStore }) => toStore).map(({ headers }) => headers.range);
    assert.match(range ?? "", /^bytes=[1-9]\d+-$/);
  });

  it("is mended where a content or a link is gone, or cut", async () => {
    const files = blipFiles();
    const commit = test.hub.commit(NAME, files);
    const directory = await downloadModel(NAME);
    const path = join(directory, "model.safetensors");
    const blob = join(directory, readlinkSync(path));
    const damages = [
      () => unlinkSync(blob),
      () => unlinkSync(path),
      () => rmSync(test.folder(NAME, ".no_exist"), { recursive: true }),
    ];
    for (const damage of damages) {
      damage();
      assert.equal(await downloadModel(NAME), directory);
      assert.deepEqual(readFileSync(path), files["model.safetensors"]);
    }
    unlinkSync(join(directory, "config.json"));
    writeFileSync(blob, "cut");
    assert.equal(await downloadModel(NAME), directory);
    assert.deepEqual(readFileSync(path), files["model.safetensors"]);
    assert.equal(readFileSync(test.folder(NAME, "refs", "main"), "utf8"), commit);
  });

  it("has files in place of links where there are none", async () => {
    process.env.HF_HUB_DISABLE_SYMLINKS = "1";
    const files = { ...blipFiles(), "added_tokens.json": "{}" };
    test.hub.commit(NAME, files);
    const directory = await downloadModel(NAME);
    for (const name of [...WANTED, "added_tokens.json"]) {
      assert(lstatSync(join(directory, name)).isFile(), name);
      assert.deepEqual(readFileSync(join(directory, name)), Buffer.from(files[name as keyof typeof files] ?? ""), name);
    }
    test.hub.requests.length = 0;
    assert.equal(await downloadModel(NAME), directory);
    assert.deepEqual(test.hub.requests, []);
  });

  it("is used from a cache that may only be read", async () => {
    test.hub.commit(NAME, blipFiles());
    const directory = await downloadModel(NAME);
    rmSync(test.folder(NAME, ".no_exist"), { recursive: true });
    chmodSync(test.folder(NAME), 0o555);
    try {
      assert.equal(await downloadModel(NAME), directory);
    } finally {
      chmodSync(test.folder(NAME), 0o755);
    }
  });

  it("gives way to a directory of the same name", async () => {
    test.hub.commit(NAME, blipFiles());
    const before = process.cwd();
    mkdirSync(join(test.home, "work", "owner", "blip"), { recursive: true });
    process.chdir(join(test.home, "work"));
    try {
      await assert.rejects(
        NeuronBlip.fromPretrained(NAME),
        fails("ARTIFACT_NOT_FOUND", /no "owner\/blip\/config\.json"/),
      );
      await assert.rejects(
        NeuronBlip.fromPretrained(NAME, { revision: "main" }),
        fails("INVALID_INPUT", /is a directory here/),
      );
    } finally {
      process.chdir(before);
    }
    assert.deepEqual(test.hub.requests, []);
  });

  it("is refused before its weights are fetched where it is no BLIP", async () => {
    test.hub.commit(NAME, { ...blipFiles(), "config.json": '{"model_type": "gpt2"}' });
    await assert.rejects(NeuronBlip.fromPretrained(NAME), fails("ARTIFACT_MISMATCH", /type "gpt2"/));
    assert.deepEqual(test.hub.seen(/safetensors|store/), []);
  });

  it("gives its tokenizer alone where that is asked for, without the weights", async () => {
    const text = (name: string) => readFileSync(join(demoModel, name));
    test.hub.commit(NAME, {
      ...blipFiles(),
      "tokenizer.json": text("tokenizer.json"),
      "tokenizer_config.json": text("tokenizer_config.json"),
    });
    const tokenizer = await BertTokenizer.fromPretrained(NAME, { revision: "main" });
    const local = await BertTokenizer.fromPretrained(demoModel);
    assert.deepEqual(tokenizer.encode("how many circles?"), local.encode("how many circles?"));
    assert.deepEqual(test.hub.seen(/safetensors|store/), []);
    await using blip = await NeuronBlip.fromPretrained(demoModel, { tokenizer: NAME });
    assert.equal(blip.processor.tokenizer.vocabSize, local.vocabSize);
  });

  it("never runs TorchScript files that somebody else has put into its folder", async () => {
    const commit = test.hub.commit(NAME, blipFiles());
    await downloadModel(NAME);
    writeFileSync(test.folder(NAME, "snapshots", commit, "optimizer.pt"), "a trainer's");
    await downloadModel(NAME);
    writeFileSync(test.folder(NAME, "snapshots", commit, "vision_model.pt"), "a program");
    await assert.rejects(NeuronBlip.fromPretrained(NAME), fails("ARTIFACT_MISMATCH", /vision_model\.pt.*programs/));
  });
});

/** Runs Node. */
async function output(args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (piece) => {
      texts[name] += piece;
    });
  }
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, ...texts };
}
