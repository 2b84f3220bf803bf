import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { assertAnswers } from "./helpers/asking.js";
import { figure, tally } from "./helpers/figures.js";
import { picture } from "./helpers/pictures.js";
import { portOf } from "./helpers/ports.js";
import { ServerProcess } from "./helpers/server-process.js";

/** An address of the public network, which a server of this test stands for: nothing leaves the host. */
const PUBLIC = "93.184.216.34";

/** Names of hosts that the operator allows, with the addresses that each look-up finds, the last from then on. */
const NAMES: Record<string, string[][]> = {
  "pictures.test": [[PUBLIC]],
  "rebound.test": [[PUBLIC], ["127.0.0.1"]],
  "mixed.test": [["127.0.0.1", "::1", PUBLIC]],
  "loopback.test": [["127.0.0.1"]],
  "loopback-6.test": [["::1"]],
  "mapped.test": [["::ffff:127.0.0.1"]],
  "mapped-hex.test": [["::ffff:7f00:1"]],
  "mapped-private.test": [["::ffff:10.0.0.1"]],
  "compatible.test": [["::127.0.0.1"]],
  "nat64.test": [["64:ff9b::7f00:1"]],
  "6to4.test": [["2002:7f00:1::"]],
  "private-10.test": [["10.0.0.1"]],
  "private-172.test": [["172.16.0.1"]],
  "private-192.test": [["192.168.1.1"]],
  "shared.test": [["100.64.0.1"]],
  "metadata.test": [["169.254.169.254"]],
  "metadata-6.test": [["fd00:ec2::254"]],
  "link-local-6.test": [["fe80::1"]],
  "any.test": [["0.0.0.0"]],
  "any-6.test": [["::"]],
  "multicast.test": [["224.0.0.1"]],
  "broadcast.test": [["255.255.255.255"]],
};
const INNER = Object.keys(NAMES).filter((name) => !["pictures.test", "rebound.test", "mixed.test"].includes(name));

interface Seen {
  readonly lookedUp: readonly string[];
  /** As "ADDRESS PORT". */
  readonly dialled: readonly string[];
}

describe("pictures by URL", () => {
  let standIn: Server;
  let server: ServerProcess;
  before(async () => {
    standIn = createServer((request, response) => {
      const to = (location: string) => void response.writeHead(302, { location, connection: "close" }).end();
      const { pathname } = new URL(request.url ?? "", "http://pictures.test");
      if (pathname.startsWith("/to/")) return to(decodeURIComponent(pathname.slice(4)));
      if (pathname === "/once") return to("/picture.png");
      if (pathname === "/twice") return to("/once");
      if (pathname === "/thrice") return to("/twice");
      if (pathname === "/round") return to("/round");
      if (pathname === "/silent") return;
      response.writeHead(200, { "content-type": "image/png", connection: "close" });
      if (pathname === "/picture.png") return void response.end(picture);
      // Without end.
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) {}
      };
      response.on("drain", more).on("error", () => {});
      more();
    });
    standIn.listen(0, "127.0.0.1");
    await once(standIn, "listening");
    const routes = { [PUBLIC]: portOf(standIn) };
    server = await ServerProcess.start({
      args: Object.keys(NAMES).flatMap((name) => ["--allow-url", name]),
      preloads: ["stand-in-internet.mjs"],
      env: { STAND_IN_INTERNET: JSON.stringify({ names: NAMES, routes }) },
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    standIn.closeAllConnections();
    standIn.close();
  });

  /** Asks about the picture of a URL. @returns the status with the code, and what was looked up and dialled for it. */
  const ask = async (url: string): Promise<{ outcome: string } & Seen> => {
    await server.ask<Seen>("internet");
    const response = await fetch(`${server.url}/answer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ picture: { url }, questions: ["what color is the square?"] }),
    });
    const { code = "" } = JSON.parse(await response.text());
    return { outcome: `${response.status} ${code}`.trim(), ...(await server.ask<Seen>("internet")) };
  };

  const assertOnlyPublic = ({ dialled }: Seen, url: string) => {
    const others = dialled.filter((line) => !line.startsWith(`${PUBLIC} `));
    assert.deepEqual(others, [], `dialled for ${url}`);
  };

  it("are fetched from an allowed host, by up to two redirections", async () => {
    for (const path of ["picture.png", "once", "twice"]) {
      const seen = await ask(`http://pictures.test/${path}`);
      assert.equal(seen.outcome, "200", path);
      assert(seen.dialled.length > 0);
      assertOnlyPublic(seen, path);
    }
    for (const path of ["thrice", "round"])
      assert.equal((await ask(`http://pictures.test/${path}`)).outcome, "422 PICTURE_UNREACHABLE");
  });

  it("are not fetched from an allowed host that leads to an address of this host or network", async () => {
    const outcomes: string[] = [];
    for (const name of INNER) {
      const seen = await ask(`http://${name}/picture.png`);
      outcomes.push(seen.outcome);
      assert.equal(seen.outcome, "422 PICTURE_UNREACHABLE", name);
      assert.deepEqual(seen.dialled, [], `dialled for ${name}`);
      assert.deepEqual(seen.lookedUp, [name], "looked up");
    }
    figure("allowed hosts with inner addresses, IPv6-mapped ones among them", tally(outcomes));
  });

  it("are fetched from the address that was checked, though the host's name leads elsewhere a moment later", async () => {
    const first = await ask("http://rebound.test/picture.png");
    assert.equal(first.outcome, "200");
    assertOnlyPublic(first, "rebound.test");
    const second = await ask("http://rebound.test/picture.png");
    assert.equal(second.outcome, "422 PICTURE_UNREACHABLE");
    assert.deepEqual(second.dialled, []);
    const mixed = await ask("http://mixed.test/picture.png");
    assertOnlyPublic(mixed, "mixed.test");
    figure(
      "DNS rebinding",
      `${first.outcome}, then ${second.outcome}; with inner and public addresses ${mixed.outcome}`,
    );
  });

  it("are not fetched from where an allowed host redirects to", async () => {
    const { port } = server;
    const targets = [
      `http://127.0.0.1:${port}/readyz`,
      `http://localhost:${port}/readyz`,
      `http://[::1]:${port}/readyz`,
      `http://[::ffff:127.0.0.1]:${port}/readyz`,
      `http://2130706433:${port}/readyz`,
      `http://0x7f.1:${port}/readyz`,
      "http://169.254.169.254/latest/meta-data/",
      "http://loopback.test/picture.png",
      "http://mapped.test/picture.png",
      "http://metadata.test/latest/meta-data/",
      "http://elsewhere.test/picture.png",
      "http://pictures.test@127.0.0.1/picture.png",
      "//127.0.0.1/picture.png",
      "file:///etc/passwd",
      "ftp://pictures.test/picture.png",
      `data:image/png;base64,${picture.toString("base64").slice(0, 40)}`,
    ];
    const outcomes: string[] = [];
    for (const target of targets) {
      const seen = await ask(`http://pictures.test/to/${encodeURIComponent(target)}`);
      outcomes.push(seen.outcome);
      assert.match(seen.outcome, /^4\d\d (INVALID_INPUT|URL_NOT_ALLOWED|PICTURE_UNREACHABLE)$/, target);
      assertOnlyPublic(seen, target);
    }
    figure("redirections to inner addresses and other schemes", tally(outcomes));
  });

  it("are not fetched from hosts that are not allowed, however they are written", async () => {
    const { port } = server;
    const urls = [
      `http://127.0.0.1:${port}/readyz`,
      `http://localhost:${port}/readyz`,
      `http://[::1]:${port}/`,
      `http://[::ffff:127.0.0.1]:${port}/`,
      `http://2130706433:${port}/`,
      `http://0177.0.0.1:${port}/`,
      `http://127.1:${port}/`,
      "http://pictures.test.elsewhere.test/picture.png",
      "http://elsewhere.test/pictures.test",
      "http://elsewhere.test#pictures.test",
      "http://elsewhere.test\\@pictures.test/",
      "http://pictures.test@elsewhere.test/",
      "http://user:password@pictures.test/picture.png",
      "http://pictures.test:22/picture.png",
      "http://pictures.test./picture.png",
      "ht\ttp://127.0.0.1/",
      "//127.0.0.1/",
      "javascript:1",
      "ftp://pictures.test/picture.png",
      "file:///etc/passwd",
      "http://",
      "http://[",
    ];
    const outcomes: string[] = [];
    for (const url of urls) {
      const seen = await ask(url);
      outcomes.push(seen.outcome);
      assert.match(seen.outcome, /^4\d\d (INVALID_INPUT|URL_NOT_ALLOWED)$/, url);
      assert.deepEqual(seen.dialled, [], `dialled for ${url}`);
      assert.deepEqual(seen.lookedUp, [], `looked up for ${url}`);
    }
    figure("URLs of hosts that are not allowed", tally(outcomes));
  });

  it("end where a host sends without end, or nothing", async () => {
    const endless = await ask("http://pictures.test/endless");
    assert.equal(endless.outcome, "413 BODY_TOO_LARGE");
    const silent = await ask("http://pictures.test/silent");
    assert.match(silent.outcome, /^(422 PICTURE_UNREACHABLE|504 TIMEOUT)$/);
    figure("a host that sends without end, and one that sends nothing", `${endless.outcome}; ${silent.outcome}`);
    await assertAnswers(server.url);
  });
});
