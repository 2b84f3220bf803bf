// The page's files: how they are served, and to whom. What they do is tested in a browser, by test:service.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { NeuronBlip } from "neuron-blip";
import { loadModel, serverOf } from "./server-test.ts";

const directory = fileURLToPath(new URL("../page/", import.meta.url));
const files = readdirSync(directory).filter((name) => !/^(index\.html|tsconfig\.json)$/.test(name));
const paths = ["/", ...files.map((name) => `/page/${name}`)];

describe("the page", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await loadModel();
  });
  after(() => blip.dispose());

  it("is served whole, each file as what it is, and again only where it has changed", async () => {
    const { app } = await serverOf(blip);
    assert(paths.length > 5);
    for (const url of paths) {
      const reply = await app.inject(url);
      assert.equal(reply.statusCode, 200, url);
      const name = url === "/" ? "index.html" : url.slice("/page/".length);
      assert.equal(reply.body, readFileSync(`${directory}${name}`, "utf8"));
      const kind = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
      const [, extension] = /\.(html|css|js|svg)$/.exec(name) ?? [];
      const type = Object.entries(kind).find(([key]) => key === extension)?.[1];
      assert(String(reply.headers["content-type"]).startsWith(type ?? "nothing"), url);
      assert.equal(reply.headers["cache-control"], "no-cache");
      assert.equal(reply.headers["x-content-type-options"], "nosniff");
      const { etag } = reply.headers;
      for (const tag of [etag, `W/${etag}`]) {
        const again = await app.inject({ url, headers: { "if-none-match": String(tag) } });
        assert.deepEqual([again.statusCode, again.body], [304, ""]);
      }
      assert.equal((await app.inject({ url, headers: { "if-none-match": '"other"' } })).statusCode, 200);
    }
    await app.close();
  });

  it("may run nothing but its own files, ask nobody but this server, and be in nobody's frame", async () => {
    const { app } = await serverOf(blip);
    for (const url of paths) {
      const { headers } = await app.inject(url);
      const policy = String(headers["content-security-policy"]).split("; ");
      for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]) {
        assert(policy.includes(rule), `${url}: ${rule}`);
      }
      assert(!/unsafe|https?:|\*/.test(policy.join(" ")));
      assert.equal(headers["referrer-policy"], "no-referrer");
    }
    const html = (await app.inject("/")).body;
    assert(!/<script(?![^>]* src=)|<style| style=| on\w+=/.test(html), "something is inline");
    await app.close();
  });

  it("opens without a key, which what it knows of the server needs", async () => {
    const { app } = await serverOf(blip, { apiKeys: ["key"], modelName: "secret", standingQuestions: ["is it day?"] });
    for (const url of paths) {
      const reply = await app.inject(url);
      assert.equal(reply.statusCode, 200, url);
      assert(!reply.body.includes("secret"));
    }
    assert.equal((await app.inject("/page/settings")).statusCode, 401);
    const headers = { authorization: "Bearer key" };
    const reply = await app.inject({ url: "/page/settings", headers });
    assert.deepEqual(reply.json(), {
      modelName: "secret",
      task: "answer",
      maxBodyBytes: 10_485_760,
      maxQuestionLength: 512,
      standingQuestions: ["is it day?"],
    });
    assert.equal(reply.headers["cache-control"], "no-store");
    await app.close();
  });

  it("is refused to foreign hosts where no key is needed", async () => {
    const { app } = await serverOf(blip);
    for (const url of [...paths, "/page/settings"]) {
      assert.equal((await app.inject({ url, headers: { host: "evil.example" } })).statusCode, 403, url);
      assert.equal((await app.inject({ url, headers: { host: "localhost:8080" } })).statusCode, 200, url);
    }
    await app.close();
  });

  it("names what it asks for by relative addresses, for proxies that serve it under a path", () => {
    const html = readFileSync(`${directory}index.html`, "utf8");
    const addresses = Array.from(html.matchAll(/(?:href|src)="([^"]+)"/g), ([, address = ""]) => address);
    assert(addresses.length >= 4);
    for (const address of addresses) assert.match(address, /^page\//);
    for (const name of files.filter((name) => name.endsWith(".js"))) {
      assert.doesNotMatch(readFileSync(`${directory}${name}`, "utf8"), /["'`](\/\w|https?:)/, name);
    }
  });

  it("is no way to other files", async () => {
    const { app } = await serverOf(blip);
    for (const url of ["/page/", "/page/tsconfig.json", "/page/../package.json", "/page/..%2fpackage.json"]) {
      assert.equal((await app.inject(url)).statusCode, 404, url);
    }
    await app.close();
  });
});
