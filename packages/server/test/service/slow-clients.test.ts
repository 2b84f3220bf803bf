import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { assertAnswers, post } from "./helpers/asking.js";
import { figure, mib, tally } from "./helpers/figures.js";
import { answerPath } from "./helpers/pictures.js";
import { until } from "./helpers/ports.js";
import { open, requestBytes } from "./helpers/raw.js";
import { ServerProcess } from "./helpers/server-process.js";

const TIMEOUT_MS = 3000;
/** Until a late connection is noticed and closed, on a busy host. */
const SLACK_MS = 4000;
const BUDGET = 256 * 2 ** 20;
const MIB = 2 ** 20;

/** Reads what comes, and keeps the first line's status. */
function watch(socket: Socket): Promise<number> {
  let head = "";
  socket.on("data", (chunk) => {
    if (head.length < 100) head += chunk.toString("latin1");
  });
  return new Promise((resolve) => {
    socket.once("close", () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0)));
  });
}

function postHead(length: number): Buffer {
  return requestBytes("POST", answerPath(), { "content-type": "image/png", "content-length": length });
}

/** Does something again and again until something else has come to pass. */
async function whileWaitingFor(end: Promise<unknown>, act: () => Promise<void>): Promise<void> {
  let isOver = false;
  const over = end.finally(() => {
    isOver = true;
  });
  while (!isOver) await act();
  await over;
}

describe("clients that take their time", () => {
  let server: ServerProcess;
  let sockets: Socket[] = [];
  before(async () => {
    server = await ServerProcess.start({ args: ["--timeout", `${TIMEOUT_MS}`] });
    await assertAnswers(server.url);
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    sockets = [];
  });
  after(() => server?.[Symbol.asyncDispose]());

  const connectMany = async (count: number): Promise<Socket[]> => {
    const many = Array.from({ length: count }, () => open(server.port));
    sockets.push(...many);
    await Promise.all(many.map((socket) => once(socket, "connect")));
    return many;
  };

  /** Counts answers until something has come to pass; each must come. */
  const answersUntil = async (end: Promise<unknown>): Promise<number> => {
    let answers = 0;
    await whileWaitingFor(end, async () => {
      await assertAnswers(server.url);
      answers++;
    });
    return answers;
  };

  const assertDescriptors = async (before: number): Promise<void> => {
    // One or two are kept for the next request of this process.
    await until("the descriptors are closed", () => server.descriptors() <= before + 4, 5000);
  };

  for (const [what, first, piece] of [
    ["headers", Buffer.from("POST /answer HTTP/1.1\r\nhost: 127.0.0.1\r\nx-header: "), "a"],
    ["a body", postHead(MIB), "a"],
  ] as const) {
    it(`are closed when the time is up for ${what} that come byte by byte, and keep nobody waiting`, async () => {
      const before = server.descriptors();
      const loris = await connectMany(300);
      const statuses = loris.map(watch);
      const start = performance.now();
      for (const socket of loris) socket.write(first);
      const dripping = setInterval(() => {
        for (const socket of loris) if (socket.writable) socket.write(piece);
      }, 200);
      try {
        const answers = await answersUntil(Promise.all(statuses));
        const ms = performance.now() - start;
        figure(
          `300 clients that send ${what} byte by byte, timeout ${TIMEOUT_MS} ms`,
          `all closed after ${ms.toFixed(0)} ms (${tally(await Promise.all(statuses))}), ${answers} others answered meanwhile`,
        );
        assert(answers > 5, `only ${answers} others were answered`);
        assert(ms <= TIMEOUT_MS + SLACK_MS, `the last was closed after ${ms} ms`);
      } finally {
        clearInterval(dripping);
      }
      await assertDescriptors(before);
    });
  }

  it("may hold 400 small bodies without keeping others waiting", async () => {
    const before = server.descriptors();
    const held = await connectMany(400);
    const statuses = held.map(watch);
    for (const socket of held) socket.write(Buffer.concat([postHead(64 * 1024), Buffer.alloc(64 * 1024 - 1)]));
    const answers = await answersUntil(Promise.all(statuses));
    figure("400 held bodies of 64 KiB", `${tally(await Promise.all(statuses))}, ${answers} others answered meanwhile`);
    assert(answers > 5, `only ${answers} others were answered`);
    await assertDescriptors(before);
  });

  it("cannot make a server hold more than its budget by 400 bodies of 5 MiB", async () => {
    const before = server.descriptors();
    const rss = server.rss();
    let most = rss;
    const sampling = setInterval(() => {
      most = Math.max(most, server.rss());
    }, 50);
    const held = await connectMany(400);
    const statuses = held.map(watch);
    const body = Buffer.alloc(5 * MIB - 1);
    for (const socket of held) {
      socket.write(postHead(5 * MIB));
      socket.write(body);
    }
    const others: number[] = [];
    try {
      await whileWaitingFor(Promise.all(statuses), async () => {
        assert(await server.isReady(), "it is not ready");
        const response = await post(server.url);
        const text = await response.text();
        others.push(response.status);
        if (response.status === 200) return;
        assert.equal(response.status, 503, text);
        assert(Number(response.headers.get("retry-after")) >= 1);
      });
    } finally {
      clearInterval(sampling);
    }
    figure(
      "400 held bodies of 5 MiB",
      `${tally(await Promise.all(statuses))}; memory ${mib(rss)} before, ${mib(most)} at most; others meanwhile ${tally(others)}`,
    );
    for (const status of await Promise.all(statuses))
      assert.match(`${status}`, /^(408|503)$/, `a sender finds no reply: ${status}`);
    // As much again for what was let go of and is not collected yet.
    assert(most - rss <= 2 * BUDGET, `the server grew by ${mib(most - rss)}`);
    await assertAnswers(server.url);
    await assertDescriptors(before);
  });
});
