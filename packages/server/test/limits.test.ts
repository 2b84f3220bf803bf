// What a server takes on, and what it refuses: bytes, time, calls that wait, clients that leave.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { NeuronBlip } from "neuron-blip";
import type { BlipServer } from "../dist/index.js";
import { ByteBudget } from "../dist/limits/byte-budget.js";
import { retryAfterSeconds, Throughput } from "../dist/limits/throughput.js";
import { asked, loadModel, serverOf } from "./server-test.ts";

const png = { "content-type": "image/png" };
const url = `/answer?${new URLSearchParams({ question: asked.question })}`;

/** Sends text to a server, and gives what it replies until it ends the connection. */
async function exchange({ app }: BlipServer, text: string): Promise<string> {
  const socket = await dial({ app });
  socket.write(text);
  let reply = "";
  socket.on("data", (chunk) => (reply += chunk));
  await once(socket, "close");
  return reply;
}

async function dial({ app }: Pick<BlipServer, "app">): Promise<Socket> {
  if (!app.server.listening) await app.listen({ host: "127.0.0.1", port: 0 });
  const socket = connect((app.server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

describe("a server's limits", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await loadModel({ maxQueueLength: 1 });
  });
  after(() => blip.dispose());

  it("refuse a request before its body is read where as many calls wait as may, and say when to come again", async () => {
    const server = await serverOf(blip);
    const held = new AbortController();
    const endless = new ReadableStream<Uint8Array>({});
    const waiting = blip.encodeImage(endless, { signal: held.signal }); // the one that may wait
    assert.equal(blip.stats().callsWaiting, 1);
    const head = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n`;
    const reply = await exchange(server, head);
    assert.match(reply, /^HTTP\/1\.1 503 .*"code":"QUEUE_FULL"/s);
    assert.match(reply, /^retry-after: ([1-9]|[12]\d|30)\r$/m);
    held.abort();
    await assert.rejects(waiting);
    await server.app.close();
  });

  it("refuse a body that says that it is too large before it comes, and one that proves to be", async () => {
    const server = await serverOf(blip, { limits: { maxBodyBytes: 1000 } });
    const head = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n`;
    const declared = await exchange(server, `${head}Connection: close\r\nContent-Length: 1001\r\n\r\n`);
    assert.match(declared, /^HTTP\/1\.1 413 .*"code":"BODY_TOO_LARGE"/s);
    const chunk = `400\r\n${"x".repeat(1024)}\r\n`;
    const proved = await exchange(server, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
    assert.match(proved, /^HTTP\/1\.1 413 .*"code":"BODY_TOO_LARGE"/s);
    assert.equal(server.context.bytesInHand.taken, 0);
    await server.app.close();
  });

  it("refuse bodies where too many bytes are in hand, and count none after a request has ended", async () => {
    const server = await serverOf(blip, { limits: { maxBytesInHand: 20_000 } });
    const held = await dial(server);
    const head = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n`;
    held.write(`${head}Content-Length: 20000\r\n\r\n${"x".repeat(19_000)}`);
    while (server.context.bytesInHand.taken < 19_000) await new Promise((resolve) => setImmediate(resolve));
    const reply = await server.app.inject({ method: "POST", url, headers: png, payload: Buffer.alloc(2000) });
    assert.equal(reply.statusCode, 503, reply.body);
    assert.equal(reply.json().code, "BUSY");
    assert("retry-after" in reply.headers);
    held.destroy();
    while (server.context.bytesInHand.taken > 0) await new Promise((resolve) => setImmediate(resolve));
    await server.app.close();
  });

  it("refuse without ending the connection of who sends no more than may come", async () => {
    const server = await serverOf(blip, { apiKeys: ["key"] });
    const socket = await dial(server);
    let replies = "";
    socket.on("data", (chunk) => (replies += chunk));
    const body = "x".repeat(500_000);
    socket.write(`POST ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    await once(socket, "close");
    assert.deepEqual(
      Array.from(replies.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status),
      ["401", "200"],
    );
    await server.app.close();
  });

  it("refuse a form in its midst without holding up the connection", async () => {
    const server = await serverOf(blip);
    const socket = await dial(server);
    let replies = "";
    socket.on("data", (chunk) => (replies += chunk));
    const form = `--b\r\nContent-Disposition: form-data; name="x"; filename="a"\r\n\r\n${"x".repeat(5e6)}\r\n--b--\r\n`;
    const type = "Content-Type: multipart/form-data; boundary=b";
    socket.write(`POST ${url} HTTP/1.1\r\nHost: localhost\r\n${type}\r\nContent-Length: ${form.length}\r\n\r\n${form}`);
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    await once(socket, "close");
    assert.deepEqual(
      Array.from(replies.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status),
      ["400", "200"],
    );
    await server.app.close();
  });

  it("end a request that takes too long, with what it asked of the model", async () => {
    const server = await serverOf(blip, { limits: { requestTimeoutMs: 1 } });
    const reply = await server.app.inject({ method: "POST", url, headers: png, payload: asked.picture });
    assert.equal(reply.statusCode, 504, reply.body);
    assert.equal(reply.json().code, "TIMEOUT");
    assert.deepEqual([blip.stats().callsWaiting, blip.stats().callsRunning], [0, 0]);
    await server.app.close();
  });

  it("let go of a call whose client leaves", async () => {
    const server = await serverOf(blip);
    const ended = new Promise((resolve) =>
      server.app.server.once("request", (_, reply) => reply.once("close", resolve)),
    );
    const socket = await dial(server);
    const { length } = asked.picture;
    socket.write(
      `POST ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: ${length}\r\n\r\n`,
    );
    socket.write(asked.picture);
    while (blip.stats().callsWaiting + blip.stats().callsRunning === 0)
      await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    await ended;
    while (blip.stats().callsWaiting + blip.stats().callsRunning > 0)
      await new Promise((resolve) => setImmediate(resolve));
    const { body } = await server.app.inject("/metrics");
    assert.match(body, /requests_total\{api="own",task="answer",outcome="aborted"\} 1\n/);
    await server.app.close();
  });

  it("reply to what is no HTTP with a problem", async () => {
    const server = await serverOf(blip);
    assert.match(await exchange(server, "nonsense\r\n\r\n"), /^HTTP\/1\.1 400 .*"code":"BAD_REQUEST"/s);
    assert.match(
      await exchange(server, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    );
    await server.app.close();
  });
});

describe("a reply that has begun", () => {
  it("has no other reply in it where what follows its request is no HTTP", async () => {
    const blip = await loadModel();
    const server = await serverOf(blip);
    const socket = await dial(server);
    const head = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n`;
    socket.write(`${head}Content-Type: image/png\r\nContent-Length: ${asked.picture.length}\r\n\r\n`);
    socket.write(asked.picture);
    let reply = "";
    socket.on("data", (chunk) => {
      if (reply === "") socket.write("nonsense\r\n\r\n");
      reply += chunk;
    });
    await once(socket, "close");
    assert.match(reply, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(reply, /HTTP\/1\.1 400/);
    await server.app.close();
    await blip.dispose();
  });
});

describe("the bytes in hand", () => {
  it("are given back once, and none are taken after the end: who reads on for a request that has ended stops", () => {
    const budget = new ByteBudget(10);
    const [one, other] = [budget.share(), budget.share()];
    one.take(6);
    assert.throws(() => other.take(5), /too many bodies/);
    other.take(4);
    one.end();
    one.end();
    assert.throws(() => one.take(1), /has ended/);
    assert.equal(budget.taken, 4);
  });
});

describe("the time to come again", () => {
  it("is what those that wait will take, from 1 to 30 s", () => {
    assert.equal(retryAfterSeconds(0, 0), 1);
    assert.equal(retryAfterSeconds(64, 0), 30);
    assert.equal(retryAfterSeconds(64, 10), 7);
    assert.equal(retryAfterSeconds(6400, 10), 30);
  });

  it("goes by what ended in the last ten to twenty seconds", () => {
    const throughput = new Throughput(0);
    for (let i = 0; i < 100; i++) throughput.add(9000);
    assert.equal(throughput.perSecond(10_000), 10);
    assert.equal(throughput.perSecond(30_000), 0);
  });
});
