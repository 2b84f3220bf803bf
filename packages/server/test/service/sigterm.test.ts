import assert from "node:assert/strict";
import { once } from "node:events";
import { assertAnswers } from "./helpers/asking.js";
import { figure } from "./helpers/figures.js";
import { picture } from "./helpers/pictures.js";
import { until } from "./helpers/ports.js";
import { open, requestBytes } from "./helpers/raw.js";
import { ServerProcess } from "./helpers/server-process.js";

const DRAIN_MS = 2000;
const GRACE_MS = 6000;
/** What is allowed for on a busy host. */
const SLACK_MS = 2000;

const args = ["--drain-delay", `${DRAIN_MS}`, "--grace", `${GRACE_MS}`];

describe("SIGTERM", () => {
  let server: ServerProcess;
  beforeEach(async () => {
    server = await ServerProcess.start({ args });
  });
  afterEach(() => server?.[Symbol.asyncDispose]());

  it("makes a server unready at once, lets it answer during the drain delay, and ends it with exit code 0", async () => {
    const start = performance.now();
    const since = () => performance.now() - start;
    server.terminate();
    await until("the server is unready", async () => !(await server.isReady()), 1000, 5);
    const unreadyMs = since();
    let answers = 0;
    while (since() < DRAIN_MS - 500) {
      await assertAnswers(server.url, { connection: "close" });
      assert.equal(await server.isReady(), false);
      assert.equal((await fetch(`${server.url}/livez`)).status, 200);
      answers++;
    }
    assert.deepEqual(await server.exit, { code: 0, signal: null }, server.output);
    const exitMs = since();
    figure(
      `SIGTERM, drain delay ${DRAIN_MS} ms, grace ${GRACE_MS} ms`,
      `unready after ${unreadyMs.toFixed(0)} ms, ${answers} answers while draining, exit code 0 after ${exitMs.toFixed(0)} ms`,
    );
    assert(answers >= 5, `only ${answers} answers`);
    assert(exitMs >= DRAIN_MS - 50, `it ended after ${exitMs} ms, before the drain delay was over`);
    assert(exitMs <= DRAIN_MS + SLACK_MS, `it ended after ${exitMs} ms, though nothing was left to do`);
  });

  it("lets a server finish a request that it has begun before the drain delay was over", async () => {
    server.terminate();
    const socket = open(server.port);
    await once(socket, "connect");
    const request = requestBytes("POST", "/answer?question=what+is+it%3F", { "content-type": "image/png" }, picture);
    socket.write(request.subarray(0, -100));
    const reply = once(socket, "data");
    // By now no new connection is taken.
    await until("the drain delay is over", async () => !(await isAlive(server)), DRAIN_MS + SLACK_MS);
    assert.equal(server.hasEnded, false, "the server ended with a request in hand");
    socket.write(request.subarray(-100));
    assert.match(String((await reply)[0]), /^HTTP\/1\.1 200 /);
    assert.deepEqual(await server.exit, { code: 0, signal: null }, server.output);
  });

  it("ends a server within the grace whatever its clients hold", async () => {
    const held = Array.from({ length: 5 }, () => open(server.port));
    for (const socket of held) {
      socket.write(
        requestBytes("POST", "/answer?question=q", { "content-type": "image/png", "content-length": 1000 }, "x"),
      );
    }
    const idle = open(server.port);
    idle.write("POST /answer HTTP/1.1\r\n");
    await Promise.all([...held, idle].map((socket) => once(socket, "connect")));
    const start = performance.now();
    server.terminate();
    await server.exit;
    const ms = performance.now() - start;
    figure("SIGTERM with requests held by their clients", `ended after ${ms.toFixed(0)} ms`);
    assert(ms <= GRACE_MS + SLACK_MS, `it ended after ${ms} ms`);
    for (const socket of [...held, idle]) socket.destroy();
  });
});

async function isAlive({ url }: ServerProcess): Promise<boolean> {
  try {
    return (await fetch(`${url}/livez`, { headers: { connection: "close" } })).ok;
  } catch {
    return false;
  }
}
