// Who may ask, and where pictures may come from.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { NeuronBlip } from "neuron-blip";
import type { BlipServer, ServerOptions } from "../dist/index.js";
import { isPublicAddress } from "../dist/pictures/public-address.js";
import { ApiKeys, readKeys } from "../dist/security/api-keys.js";
import { asked, loadModel, serverOf } from "./server-test.ts";

describe("who may ask a server", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await loadModel();
  });
  after(() => blip.dispose());

  async function statusOf(server: BlipServer, headers: Record<string, string>, url = "/metrics"): Promise<number> {
    return (await server.app.inject({ url, headers })).statusCode;
  }

  it("is who has a key, where there are keys; health is anybody's", async () => {
    const server = await serverOf(blip, { apiKeys: ["first", "second"] });
    assert.equal(await statusOf(server, {}), 401);
    assert.equal(await statusOf(server, { authorization: "Bearer wrong" }), 401);
    assert.equal(await statusOf(server, { authorization: "first" }), 401);
    assert.equal(await statusOf(server, { authorization: "Bearer first" }), 200);
    assert.equal(await statusOf(server, { authorization: "bearer second" }), 200);
    assert.equal(await statusOf(server, { "x-api-key": "second" }), 200);
    for (const url of ["/livez", "/readyz", "/startupz"]) assert.equal(await statusOf(server, {}, url), 200);
    const refused = await server.app.inject({ method: "POST", url: "/answer?question=a", payload: asked.picture });
    assert.equal(refused.json().code, "UNAUTHORIZED");
    assert.match(String(refused.headers["www-authenticate"]), /^Bearer/);
    await server.app.close();
  });

  it("is no other site's page, where there are none", async () => {
    const server = await serverOf(blip, { allowedHosts: ["Blip.internal"] });
    for (const host of [
      "localhost",
      "localhost:8080",
      "127.0.0.1:8080",
      "[::1]:8080",
      "10.0.0.7",
      "blip.internal:80",
    ]) {
      assert.equal(await statusOf(server, { host }), 200, host);
      assert.equal(await statusOf(server, { host, origin: `http://${host}` }), host.endsWith(":80") ? 403 : 200, host);
    }
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "[::1"]) {
      assert.equal(await statusOf(server, { host }), 403, host);
      assert.equal(await statusOf(server, { host }, "/livez"), 200, host);
    }
    for (const origin of ["http://evil.example", "null", "http://localhost:8081", "nonsense"]) {
      assert.equal(await statusOf(server, { host: "localhost:8080", origin }), 403, origin);
    }
    await server.app.close();
    const any = await serverOf(blip, { allowedHosts: ["*"] });
    assert.equal(await statusOf(any, { host: "evil.example" }), 200);
    assert.equal(await statusOf(any, { host: "a", origin: "http://evil.example" }), 403);
    await any.app.close();
  });

  it("has a key of a file, which has one a line", () => {
    assert.deepEqual(readKeys("# ours\r\nfirst\n\n  second \n"), ["first", "second"]);
    const keys = new ApiKeys(["first", "second"]);
    assert(keys.has("first") && keys.has("second"));
    assert(!keys.has("firs") && !keys.has("") && !keys.has("firstx"));
  });
});

describe("pictures from URLs", () => {
  let blip: NeuronBlip;
  let host: Server;
  let place = "";
  const seen: string[] = [];
  before(async () => {
    blip = await loadModel();
    host = createHttpServer((request, response) => {
      seen.push(request.url ?? "");
      const [, kind, rest = ""] = /^\/(\w+)(?:\?(.*))?$/.exec(request.url ?? "") ?? [];
      if (kind === "redirect") response.writeHead(302, { location: decodeURIComponent(rest) }).end();
      else if (kind === "picture") response.end(asked.picture);
      else if (kind === "large") response.end(Buffer.alloc(2000));
      else response.writeHead(404).end();
    });
    host.listen(0, "127.0.0.1");
    await once(host, "listening");
    place = `127.0.0.1:${(host.address() as AddressInfo).port}`;
  });
  after(async () => {
    host.close();
    await blip.dispose();
  });

  async function ask(url: string, options: ServerOptions = {}) {
    const { app } = await serverOf(blip, { allowedUrls: [place, "localhost"], ...options });
    const payload = { picture: { url }, questions: [asked.question] };
    const reply = await app.inject({ method: "POST", url: "/answer", payload });
    await app.close();
    return { status: reply.statusCode, ...reply.json() };
  }

  it("are fetched from hosts that were named, an address as it is", async () => {
    const { answers } = await ask(`http://${place}/picture`);
    assert.equal(answers[0].answer, asked.answer);
  });

  it("follow two redirections, each checked as the first", async () => {
    const redirect = (to: string) => `http://${place}/redirect?${encodeURIComponent(to)}`;
    const { answers } = await ask(redirect(redirect("/picture")));
    assert.equal(answers[0].answer, asked.answer);
    assert.equal((await ask(redirect(redirect(redirect("/picture"))))).code, "PICTURE_UNREACHABLE");
    assert.equal((await ask(redirect("http://127.0.0.1:1/picture"))).code, "URL_NOT_ALLOWED");
    assert.equal((await ask(redirect("http://169.254.169.254/latest"))).code, "URL_NOT_ALLOWED");
    assert.equal((await ask(redirect("file:///etc/passwd"))).code, "INVALID_INPUT");
  });

  it("are not fetched from a named host that leads to a private address", async () => {
    seen.length = 0;
    const { port } = host.address() as AddressInfo;
    const { code } = await ask(`http://localhost:${port}/picture`, { allowedUrls: [`localhost:${port}`] });
    assert.equal(code, "PICTURE_UNREACHABLE");
    assert.deepEqual(seen, []);
  });

  it("are bounded, and their failures typed", async () => {
    assert.equal((await ask(`http://${place}/large`, { limits: { maxBodyBytes: 1000 } })).code, "BODY_TOO_LARGE");
    const missing = await ask(`http://${place}/nosuch`);
    assert.deepEqual([missing.status, missing.code], [422, "PICTURE_UNREACHABLE"]);
    assert.equal((await ask(`http://user:word@${place}/picture`)).code, "INVALID_INPUT");
    assert.equal((await ask("http://")).code, "INVALID_INPUT");
  });

  it("have public addresses: none of this host, its network, or written otherwise", () => {
    const privates = [
      ...["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"],
      ...["224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"],
      ...["64:ff9b::7f00:1", "2002:7f00:1::", "fd00:ec2::254", "::7f00:1", "100:0:0:1::1", "nonsense", ""],
    ];
    for (const address of privates) assert(!isPublicAddress(address), address);
    for (const address of ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
      assert(isPublicAddress(address), address);
  });
});
