// What is said where a model of the Hugging Face Hub cannot be had: each reason in its own words and with its own code.
import assert from "node:assert/strict";
import fs, { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import {
  BertTokenizer,
  BlipImageProcessor,
  BlipProcessor,
  NeuronBlip,
  NeuronBlipForConditionalGeneration,
  NeuronBlipForImageTextRetrieval,
  NeuronBlipForQuestionAnswering,
  pipeline,
} from "neuron-blip";
import { type DownloadOptions, downloadModel } from "../../dist/hub/download-model.js";
import { connectionError } from "../../dist/hub/hub-errors.js";
import { readHubSettings } from "../../dist/hub/hub-settings.js";
import { demoModel, fails } from "../helpers.js";
import { refuse, sha256 } from "../stand-ins/hub.ts";
import { blipFiles, HubTest } from "./hub-test.js";

const NAME = "owner/blip";

/** Every public call that takes a model's name. */
const CALLS: Readonly<Record<string, (model: string, options: { revision?: string }) => Promise<unknown>>> = {
  "NeuronBlip.fromPretrained": (model, options) => NeuronBlip.fromPretrained(model, options),
  pipeline: (model, options) => pipeline("visual-question-answering", model, options),
  "NeuronBlipForQuestionAnswering.fromPretrained": (model, options) =>
    NeuronBlipForQuestionAnswering.fromPretrained(model, options),
  "NeuronBlipForConditionalGeneration.fromPretrained": (model, options) =>
    NeuronBlipForConditionalGeneration.fromPretrained(model, options),
  "NeuronBlipForImageTextRetrieval.fromPretrained": (model, options) =>
    NeuronBlipForImageTextRetrieval.fromPretrained(model, options),
  "BlipProcessor.fromPretrained": (model, options) => BlipProcessor.fromPretrained(model, options),
  "BlipImageProcessor.fromPretrained": (model, options) => BlipImageProcessor.fromPretrained(model, options),
  "BertTokenizer.fromPretrained": (model, options) => BertTokenizer.fromPretrained(model, options),
};

describe("a model of the Hugging Face Hub that cannot be had", () => {
  let test: HubTest;

  beforeEach(async () => {
    test = await HubTest.start();
  });

  afterEach(() => test[Symbol.asyncDispose]());

  /** Loads without waiting between attempts. */
  async function load(model = NAME, options: DownloadOptions = {}): Promise<string> {
    return downloadModel(model, { settings: { ...(await readHubSettings()), retryDelaysMs: [0, 0] }, ...options });
  }

  for (const [name, call] of Object.entries(CALLS)) {
    it(`is not there: ${name} says so, and that it is no directory`, async () => {
      const words = /no directory "Salesforce\/blip-vqa-bsae" here, and no model of that name at http.*everybody/;
      await assert.rejects(call("Salesforce/blip-vqa-bsae", {}), fails("ARTIFACT_NOT_FOUND", words));
      test.hub.commit(NAME, blipFiles());
      await assert.rejects(
        call(NAME, { revision: "v9" }),
        fails("ARTIFACT_NOT_FOUND", /no branch, tag or commit "v9"/),
      );
    });
  }

  it("is not there for the token that was given", async () => {
    process.env.HF_TOKEN = "hf_mine";
    test.hub.tokens.set("hf_mine", []);
    test.hub.commit(NAME, blipFiles(), { access: "private" });
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", /no model of that name .* token of HF_TOKEN may read/));
  });

  it("lacks a file that the Hub has listed", async () => {
    test.hub.commit(NAME, blipFiles());
    test.hub.intercept = (request, response) => {
      if (!request.url?.endsWith("/config.json")) return false;
      refuse(response, 404, "EntryNotFound", "Entry not found");
      return true;
    };
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", /has no file "config\.json"/));
  });

  it("is gated: without a token, with one that has no access, and with one that has", async () => {
    test.hub.commit(NAME, blipFiles(), { access: "gated" });
    await assert.rejects(
      load(),
      fails("HUB_ACCESS_DENIED", /is a gated model\. Accept its conditions at http\S+owner\/blip/),
    );
    test.hub.tokens.set("hf_mine", []);
    process.env.HF_TOKEN = "hf_mine";
    await assert.rejects(load(), fails("HUB_ACCESS_DENIED", /gated model, and the token of HF_TOKEN has no access/));
    test.hub.tokens.set("hf_mine", [NAME]);
    await load();
  });

  it("is private", async () => {
    test.hub.intercept = (_, response) => void refuse(response, 401, undefined, "Unauthorized") === undefined;
    await assert.rejects(
      load(),
      fails("HUB_ACCESS_DENIED", /does not let everybody read .*status 401.*If it is private/),
    );
    process.env.HF_TOKEN = "hf_mine";
    test.hub.intercept = (_, response) => void refuse(response, 403, undefined, "Forbidden") === undefined;
    await assert.rejects(
      load(),
      fails("HUB_ACCESS_DENIED", /does not let the token of HF_TOKEN read .*status 403: Forbidden/),
    );
  });

  it("is asked for with a token that the Hub does not know", async () => {
    test.hub.commit(NAME, blipFiles());
    writeFileSync(join(test.home, "token"), "hf_expired\n");
    const words = new RegExp(`does not know the token of the file "${join(test.home, "token")}": it may be cut`);
    await assert.rejects(load(), fails("HUB_ACCESS_DENIED", words));
    const error = await load().catch((reason) => reason);
    assert(!JSON.stringify([error.message, error.stack, error.cause]).includes("hf_expired"), "the token is told");
  });

  it("has its weights in no file that is fetched, and gets the way to convert them", async () => {
    const { "model.safetensors": _, "tf_model.h5": __, ...files } = blipFiles();
    test.hub.commit(NAME, files);
    const words = /no model\.safetensors.*"?pytorch_model\.bin"? can hold a program.*save_pretrained\(DIR\)/;
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", words));
    const { "pytorch_model.bin": ___, ...texts } = files;
    test.hub.commit(NAME, { ...texts, "vision_model.pt": "a program" });
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", /vision_model\.pt is a program .* none is fetched/));
    test.hub.commit(NAME, texts);
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", /no model\.safetensors.*It has README\.md/));
    test.hub.commit(NAME, { "model.safetensors": "x" });
    await assert.rejects(load(), fails("ARTIFACT_NOT_FOUND", /has no config\.json/));
    assert.deepEqual(test.hub.seen(/resolve|store/), []);
    assert(!existsSync(test.folder(NAME)), "a folder is left for what is not fetched");
  });

  it("may not be asked for, and is not here; and is, when it is here", async () => {
    test.hub.commit(NAME, blipFiles());
    for (const name of ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]) {
      process.env[name] = "1";
      await assert.rejects(load(), fails("HUB_OFFLINE", new RegExp(`"owner/blip" is no directory .*${name} forbids`)));
      delete process.env[name];
    }
    assert.deepEqual(test.hub.requests, []);
    const directory = await load();
    process.env.HF_HUB_OFFLINE = "ON";
    assert.equal(await load(), directory);
    assert.equal(await load(NAME, { update: true }), directory);
    await assert.rejects(load(NAME, { revision: "v9" }), fails("HUB_OFFLINE"));
  });

  it("is used from the cache where the network is gone, or the Hub is out of order", async () => {
    test.hub.commit(NAME, blipFiles());
    const directory = await load();
    test.hub.intercept = (_, response) => void refuse(response, 503, undefined, "Maintenance") === undefined;
    assert.equal(await load(NAME, { update: true }), directory);
    process.env.HF_ENDPOINT = await closedEndpoint();
    assert.equal(await load(NAME, { update: true }), directory);
  });

  it("cannot be reached, and the reason is told", async () => {
    process.env.HF_ENDPOINT = await closedEndpoint();
    const words = /"owner\/blip" is no directory here.*cannot be reached: the connection is refused.*ECONNREFUSED/;
    await assert.rejects(load(), fails("HUB_UNREACHABLE", words));
    const peer = { endpoint: "https://huggingface.co", model: NAME };
    for (const [code, why] of [
      ["ENOTFOUND", /its name cannot be looked up/],
      ["ENETUNREACH", /there is no network/],
      ["UND_ERR_CONNECT_TIMEOUT", /not made in time/],
      ["SELF_SIGNED_CERT_IN_CHAIN", /certificate is not trusted here.*NODE_EXTRA_CA_CERTS/],
      ["EOTHER", /cannot be reached: words of the system \(EOTHER\)\. Try again/],
    ] as const) {
      const cause = Object.assign(new Error("words of the system"), { code });
      const error = connectionError(peer, new TypeError("fetch failed", { cause }));
      assert(fails("HUB_UNREACHABLE", why)(error));
    }
    process.env.HTTPS_PROXY = "http://proxy.example:3128";
    await assert.rejects(load(), fails("HUB_UNREACHABLE", /HTTPS_PROXY is set.*NODE_USE_ENV_PROXY=1/));
    for (const value of ["huggingface.co", "ftp://huggingface.co", "http://"]) {
      process.env.HF_ENDPOINT = value;
      await assert.rejects(load(), fails("INVALID_INPUT", /HF_ENDPOINT is the address/));
    }
  });

  it("is asked for again where the Hub is busy, and not where it refuses", async () => {
    test.hub.commit(NAME, blipFiles());
    let busy = 2;
    test.hub.intercept = (_, response) => {
      if (busy-- <= 0) return false;
      refuse(response, busy === 1 ? 429 : 503, undefined, "Slow down");
      return true;
    };
    await load();
    busy = 100;
    const asked = test.hub.requests.length;
    await assert.rejects(load("owner/other"), fails("HUB_UNREACHABLE", /answered with status 503 \(Slow down\)/));
    assert.equal(test.hub.requests.length - asked, 3);
    busy = 0;
    await assert.rejects(load("owner/other"), fails("ARTIFACT_NOT_FOUND"));
    assert.equal(test.hub.requests.length - asked, 4);
  });

  it("comes from a Hub that says nothing for too long", async () => {
    process.env.HF_HUB_ETAG_TIMEOUT = "1";
    test.hub.intercept = () => true;
    await assert.rejects(load(), fails("HUB_UNREACHABLE", /sent nothing for 1 s\. HF_HUB_ETAG_TIMEOUT says/));
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "1";
    test.hub.intercept = undefined;
    test.hub.commit(NAME, blipFiles());
    test.hub.intercept = (_, response, toStore) => {
      if (!toStore) return false;
      response.writeHead(200, { "content-length": 300_000 });
      response.write("x");
      return true;
    };
    const settings = { ...(await readHubSettings()), retryDelaysMs: [] };
    await assert.rejects(load(NAME, { settings }), fails("HUB_UNREACHABLE", /HF_HUB_DOWNLOAD_TIMEOUT/));
  });

  it("comes from something that is no Hub", async () => {
    for (const answer of [
      "<html>Log in to the hotel's network</html>",
      "[]",
      "{}",
      '{"sha": "../../../etc"}',
      '{"sha": 7}',
    ]) {
      test.hub.intercept = (_, response) => void response.end(answer) === undefined;
      await assert.rejects(load(), fails("HUB_UNREACHABLE", /HF_ENDPOINT right/));
    }
    test.hub.commit(NAME, blipFiles());
    const entry = { type: "file", path: "config.json", size: 2, oid: "0".repeat(40) };
    for (const answer of [
      {},
      [{ ...entry, oid: "../x" }],
      [{ ...entry, size: -0.5 }],
      [{ ...entry, oid: undefined }],
    ]) {
      test.hub.intercept = (request, response) =>
        request.method === "POST" && void response.end(JSON.stringify(answer)) === undefined;
      await assert.rejects(load(), fails("HUB_UNREACHABLE", /HF_ENDPOINT right/));
    }
    test.hub.intercept = (_, response) => void response.writeHead(302, { location: "/again" }).end() === undefined;
    await assert.rejects(load(), fails("HUB_UNREACHABLE", /redirects without end/));
    test.hub.intercept = (_, response) =>
      void response.writeHead(302, { location: "file:///etc/passwd" }).end() === undefined;
    await assert.rejects(load(), fails("HUB_UNREACHABLE", /redirects to an address of file:/));
  });

  it("gets the token shown by the Hub alone, whatever that redirects to", async () => {
    process.env.HF_TOKEN = "hf_mine";
    test.hub.tokens.set("hf_mine", [NAME]);
    test.hub.commit(NAME, blipFiles(), { access: "private" });
    const seen: (string | undefined)[] = [];
    // Another port is another host.
    const other = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(307, { location: `${test.hub.endpoint}${request.url}` }).end();
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address() as { port: number };
    test.hub.intercept = (request, response) => {
      if (request.headers.referer !== undefined || seen.length > 0 || request.method !== "GET") return false;
      response.writeHead(307, { location: `http://127.0.0.1:${address.port}${request.url}` }).end();
      return true;
    };
    await load();
    other.closeAllConnections();
    other.close();
    assert.deepEqual(seen, [undefined]);
    for (const { toStore, headers } of test.hub.requests) {
      assert.equal(headers.authorization, toStore ? undefined : "Bearer hf_mine");
      assert.match(headers["user-agent"] ?? "", /^neuron-blip\//);
    }
    assert(test.hub.requests.some(({ toStore }) => toStore));
  });

  it("follows the new name of a model that was renamed", async () => {
    test.hub.commit("owner/new", blipFiles());
    test.hub.intercept = (request, response) => {
      if (!request.url?.includes(NAME)) return false;
      response.writeHead(307, { location: request.url.replace(NAME, "owner/new") }).end();
      return true;
    };
    const directory = await load();
    assert.equal(readdirSync(directory).length, 6);
    assert.match(directory, /models--owner--blip/);
  });

  it("finds no room: what is needed and what is free, before anything is written", async () => {
    test.hub.commit(NAME, blipFiles());
    const real = fs.promises.statfs;
    fs.promises.statfs = (async () => ({ blocks: 100, bavail: 1, bsize: 4096 })) as unknown as typeof real;
    syncBuiltinESMExports();
    try {
      await assert.rejects(load(), fails("DISK_FULL", /300 kB are to be fetched, and 4\.10 kB are free.*HF_HUB_CACHE/));
    } finally {
      fs.promises.statfs = real;
      syncBuiltinESMExports();
    }
    assert.deepEqual(test.hub.seen(/store/), []);
    await load();
  });

  it("fills the disk on the way, and gives the room back", async () => {
    test.hub.commit(NAME, blipFiles(1_000_000));
    const handle = await open(join(test.home, "any"), "w");
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    const real = prototype.write;
    let room = 500_000;
    prototype.write = async function (bytes: Uint8Array, ...rest: unknown[]) {
      room -= bytes.length;
      if (room < 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      return real.call(this, bytes, ...rest);
    };
    try {
      await assert.rejects(load(), fails("DISK_FULL", /The disk of the cache .* is full/));
    } finally {
      prototype.write = real;
    }
    const etag = sha256(blipFiles(1_000_000)["model.safetensors"] as Buffer);
    assert(!test.names(NAME, "blobs").some((name) => name.startsWith(etag)), "a part is left on the full disk");
    await load();
  });

  it("cannot be written to the cache", async () => {
    test.hub.commit(NAME, blipFiles());
    mkdirSync(join(test.home, "hub"));
    writeFileSync(test.folder(NAME), "a file where a folder must be");
    await assert.rejects(load(), fails("CACHE_NOT_WRITABLE", /The cache .* cannot be written: .*HF_HUB_CACHE/));
    assert.equal(readFileSync(test.folder(NAME), "utf8"), "a file where a folder must be");
    if (existsSync("/proc/self")) {
      process.env.HF_HOME = "/proc/models"; // where making a folder never ends
      await assert.rejects(load(), fails("CACHE_NOT_WRITABLE", /"\/proc\/models\/hub" cannot be written/));
    }
  });

  it("takes a wrong option for what it is", async () => {
    const wrong = [{ progress: true }, { update: "yes" }, { revision: 7 }, { signal: {} }, { progres: () => {} }];
    for (const options of wrong) {
      await assert.rejects(NeuronBlip.fromPretrained(demoModel, options as object), fails("INVALID_INPUT"));
      await assert.rejects(BertTokenizer.fromPretrained(demoModel, options as object), fails("INVALID_INPUT"));
    }
    assert.deepEqual(test.hub.requests, []);
  });
});

describe("loading a model", () => {
  it("ends when its signal is aborted, before or while", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(NeuronBlip.fromPretrained(demoModel, { signal }), fails("ABORTED"));
    await assert.rejects(pipeline("visual-question-answering", demoModel, { signal }), fails("ABORTED"));
    const controller = new AbortController();
    const loading = NeuronBlip.fromPretrained(demoModel, { signal: controller.signal });
    setImmediate(() => controller.abort());
    await assert.rejects(loading, fails("ABORTED"));
    await using blip = await NeuronBlip.fromPretrained(demoModel, { signal: new AbortController().signal });
    assert.equal(blip.numModels, 1);
  });
});

/** An address at which nobody listens. */
async function closedEndpoint(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}
