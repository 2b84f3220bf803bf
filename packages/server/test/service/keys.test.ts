import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertAnswers, assertProblem, post } from "./helpers/asking.js";
import { figure } from "./helpers/figures.js";
import { answerPath, picture } from "./helpers/pictures.js";
import { exchangeOne, requestBytes } from "./helpers/raw.js";
import { ServerProcess } from "./helpers/server-process.js";

const KEYS = ["key-of-the-first-client-0123456789", "key-of-the-second-client"];

const WRONG = [
  "",
  "k",
  KEYS[0]?.slice(0, -1) ?? "",
  `${KEYS[0]}x`,
  `x${KEYS[0]}`,
  KEYS[0]?.toUpperCase() ?? "",
  KEYS.join(""),
  KEYS.join(","),
  "key-of-the-first-client-012345678X",
  "Xey-of-the-first-client-0123456789",
  "null",
  "undefined",
  "[objectObject]",
  "%00",
  "é".repeat(17),
  "x".repeat(8000),
];

describe("keys", () => {
  let directory: string;
  let server: ServerProcess;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-keys-"));
    const file = join(directory, "keys");
    writeFileSync(file, `${KEYS.join("\n")}\n`);
    server = await ServerProcess.start({ args: ["--api-key-file", file], preloads: ["comparisons.mjs"] });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  it("let in who has one", async () => {
    for (const key of KEYS) await assertAnswers(server.url, { authorization: `Bearer ${key}` });
  });

  it("that are wrong are refused, each after as many comparisons in constant time", async () => {
    const comparisons = new Set<number>();
    for (const key of WRONG) {
      const before = await server.ask<number>("comparisons");
      const headers = { "content-type": "image/png", authorization: `Bearer ${Buffer.from(key).toString("latin1")}` };
      const { status, body } = await exchangeOne(server.port, requestBytes("POST", answerPath(), headers, picture));
      assert.equal(status, 401, `${key}: ${body}`);
      assert.equal(JSON.parse(body).code, "UNAUTHORIZED");
      // An empty one is none.
      if (key !== "") comparisons.add((await server.ask<number>("comparisons")) - before);
    }
    figure(
      "wrong keys",
      `${WRONG.length} refused; comparisons in constant time for each: ${[...comparisons].join(", ")}`,
    );
    assert.equal(comparisons.size, 1, "some cost more comparisons than others");
    assert(!comparisons.has(0), "they are not compared in constant time");
  });

  it("are needed where they are written otherwise", async () => {
    const [key = ""] = KEYS;
    for (const authorization of [
      key,
      `Basic ${Buffer.from(`:${key}`).toString("base64")}`,
      `Bearer: ${key}`,
      `Bearer ${key}, x`,
    ]) {
      await assertProblem(await post(server.url, { headers: { authorization } }), 401, "UNAUTHORIZED");
    }
    await assertProblem(
      await post(server.url, { path: `${answerPath()}&api_key=${key}&key=${key}` }),
      401,
      "UNAUTHORIZED",
    );
    await assertProblem(await post(server.url, { headers: { cookie: `key=${key}` } }), 401, "UNAUTHORIZED");
  });

  it("are needed by all but health", async () => {
    for (const path of ["/livez", "/readyz", "/startupz"])
      assert.equal((await fetch(`${server.url}${path}`)).status, 200, path);
    for (const path of ["/metrics", "/openapi.json"])
      await assertProblem(await fetch(`${server.url}${path}`), 401, "UNAUTHORIZED");
  });
});

describe("a server without keys", () => {
  let server: ServerProcess;
  before(async () => {
    server = await ServerProcess.start();
  });
  after(() => server?.[Symbol.asyncDispose]());

  it("refuses requests that another site's page makes a browser send", async () => {
    const foreign = [
      { host: "elsewhere.test" },
      { host: `elsewhere.test:${server.port}` },
      { host: `127.0.0.1.elsewhere.test:${server.port}` },
      { host: "" },
      { host: `127.0.0.1:${server.port}`, origin: "http://elsewhere.test" },
      { host: `127.0.0.1:${server.port}`, origin: `http://127.0.0.1:${server.port + 1}` },
      { host: `127.0.0.1:${server.port}`, origin: "null" },
    ];
    for (const headers of foreign) {
      const bytes = requestBytes("POST", answerPath(), { ...headers, "content-type": "image/png" }, picture);
      const { status, body } = await exchangeOne(server.port, bytes);
      assert.equal(status, 403, `${JSON.stringify(headers)}: ${body}`);
      assert.equal(JSON.parse(body).code, "FOREIGN_HOST");
    }
    await assertAnswers(server.url, { origin: server.url });
    figure("foreign Host and Origin headers", `${foreign.length} refused`);
  });
});
