// The environment variables that Python's huggingface_hub reads, and names on the Hub.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { readHubSettings } from "../../dist/hub/hub-settings.js";
import { isHubName } from "../../dist/util/hub-name.js";
import { fails } from "../helpers.js";

describe("the Hugging Face Hub's environment variables", () => {
  let home = "";

  before(() => {
    home = mkdtempSync(join(tmpdir(), "neuron-blip-settings-"));
  });

  after(() => rmSync(home, { recursive: true, force: true }));

  it("name the cache as Python's huggingface_hub takes them", async () => {
    for (const [variables, cache] of [
      [{}, join(homedir(), ".cache", "huggingface", "hub")],
      [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
      [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
      [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
      [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, "/new"],
      [{ HF_HOME: "~/models" }, join(homedir(), "models", "hub")],
      [{ HF_HUB_CACHE: `$DISK/a/$${"{PLACE}"}/$NONE`, DISK: "/d", PLACE: "e" }, "/d/a/e/$NONE"],
      [{ HF_HOME: "", HF_HUB_CACHE: "", HF_ENDPOINT: "" }, join(homedir(), ".cache", "huggingface", "hub")],
      [{ HF_HUB_CACHE: "here" }, join(process.cwd(), "here")],
    ] as const) {
      const settings = await readHubSettings({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1", ...variables });
      assert.equal(settings.cache, cache, JSON.stringify(variables));
    }
  });

  it("give the token: HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else a file", async () => {
    const none = join(home, "none");
    mkdirSync(none);
    writeFileSync(join(home, "token"), "  hf_file\n");
    writeFileSync(join(home, "other"), "hf_other");
    writeFileSync(join(home, "empty"), "\n");
    for (const [variables, token] of [
      [{ HF_HOME: none }, undefined],
      [{ HF_HOME: home }, "hf_file"],
      [{ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") }, "hf_other"],
      [{ HF_HOME: home, HF_TOKEN_PATH: join(home, "empty") }, undefined],
      [{ HF_HOME: home, HUGGING_FACE_HUB_TOKEN: "hf_old" }, "hf_old"],
      [{ HF_HOME: home, HUGGING_FACE_HUB_TOKEN: "hf_old", HF_TOKEN: " hf_new\r\n" }, "hf_new"],
      [{ HF_HOME: home, HF_TOKEN: "" }, "hf_file"],
      [{ HF_HOME: home, HF_TOKEN: "hf_new", HF_HUB_DISABLE_IMPLICIT_TOKEN: "yes" }, undefined],
    ] as const) {
      assert.equal((await readHubSettings(variables)).token?.value, token, JSON.stringify(variables));
    }
  });

  it("are refused where they say nothing usable, and a token is not repeated", async () => {
    for (const [variables, words] of [
      [{ HF_TOKEN: "two words" }, /What is in HF_TOKEN is no Hugging Face token/],
      [{ HF_TOKEN: "hf_żółw" }, /HF_TOKEN is no/],
      [{ HF_TOKEN_PATH: home }, /token in ".*" cannot be read: EISDIR/],
      [{ HF_ENDPOINT: "huggingface.co" }, /HF_ENDPOINT is the address/],
      [{ HF_HUB_DOWNLOAD_TIMEOUT: "soon" }, /HF_HUB_DOWNLOAD_TIMEOUT is a whole number/],
      [{ HF_HUB_ETAG_TIMEOUT: "0" }, /HF_HUB_ETAG_TIMEOUT is a whole number/],
    ] as const) {
      const error = await readHubSettings({ HF_HOME: home, ...variables }).catch((reason) => reason);
      assert(fails("INVALID_INPUT", words)(error));
      assert.doesNotMatch(error.message, /two words|żółw/);
    }
  });

  it("say where the Hub is, whether it may be asked, and how long it may take", async () => {
    const of = (variables: Record<string, string>) => readHubSettings({ HF_HOME: join(home, "none"), ...variables });
    const { endpoint, offline, lookUpMs, stallMs, symlinks, progressBars } = await of({});
    assert.deepEqual(
      { endpoint, offline, lookUpMs, stallMs, symlinks, progressBars },
      {
        endpoint: "https://huggingface.co",
        offline: undefined,
        lookUpMs: 10_000,
        stallMs: 10_000,
        symlinks: true,
        progressBars: true,
      },
    );
    assert.equal((await of({ HF_ENDPOINT: "https://mirror.example/hub//" })).endpoint, "https://mirror.example/hub");
    assert.equal((await of({ HF_HUB_ETAG_TIMEOUT: "3", HF_HUB_DOWNLOAD_TIMEOUT: "60" })).stallMs, 60_000);
    assert.equal((await of({ HF_HUB_DISABLE_SYMLINKS: "True" })).symlinks, false);
    assert.equal((await of({ HF_HUB_DISABLE_PROGRESS_BARS: "1" })).progressBars, false);
    for (const [value, isOffline] of [
      ["1", true],
      ["on", true],
      ["YES", true],
      ["0", false],
      ["", false],
    ] as const) {
      assert.equal((await of({ HF_HUB_OFFLINE: value })).offline !== undefined, isOffline, value);
      assert.equal((await of({ TRANSFORMERS_OFFLINE: value })).offline !== undefined, isOffline, value);
    }
    assert.equal((await of({ HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: "1" })).offline, undefined);
  });
});

describe("a name on the Hugging Face Hub", () => {
  it("is an owner and a name, by the Hub's rules, and no path", () => {
    for (const name of ["Salesforce/blip-vqa-base", "a/b", "my_org/model.v2", "user-1/x_y"])
      assert(isHubName(name), name);
    const none = [
      "blip",
      "a/b/c",
      "./a/b",
      "/a/b",
      "../b",
      "a/..",
      "a/b--c",
      "a/b.git",
      "-a/b",
      "a/b-",
      "a/.b",
      "a/b ",
      "",
      "a/",
    ];
    for (const name of [...none, `a/${"b".repeat(96)}`, "a\\b/c", "~/model", "a/b:c"]) assert(!isHubName(name), name);
  });
});
