// Whether a server is alive and ready, what it tells Prometheus, and how it ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import type { NeuronBlip } from "neuron-blip";
import { stop } from "../dist/cli/until-stopped.js";
import { createMetricsServer } from "../dist/index.js";
import { asked, loadModel, serverOf } from "./server-test.ts";

const png = { "content-type": "image/png" };
const url = `/answer?${new URLSearchParams({ question: asked.question })}`;

describe("a server's health", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await loadModel();
  });
  after(() => blip.dispose());

  it("is that of a live, ready and started one, until it drains: unready, and still answering", async () => {
    const { app, context } = await serverOf(blip);
    const statuses = async () =>
      Promise.all(["/livez", "/readyz", "/startupz"].map(async (path) => (await app.inject(path)).statusCode));
    assert.deepEqual(await statuses(), [200, 200, 200]);
    context.state.drain();
    assert.deepEqual(await statuses(), [200, 503, 200]);
    const reply = await app.inject({ method: "POST", url, headers: png, payload: asked.picture });
    assert.equal(reply.statusCode, 200);
    assert.equal(reply.headers.connection, "close");
    await app.close();
  });

  it("tells Prometheus of requests by outcome, of stages, and of what the model does", async () => {
    const { app } = await serverOf(blip);
    await app.inject({ method: "POST", url, headers: png, payload: asked.picture });
    await app.inject({ method: "POST", url, headers: png, payload: "no picture" });
    const reply = await app.inject("/metrics");
    assert.match(String(reply.headers["content-type"]), /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'neuron_blip_requests_total{api="own",task="answer",outcome="ok"} 1',
      'neuron_blip_requests_total{api="own",task="answer",outcome="invalid"} 1',
      'neuron_blip_stage_seconds_count{stage="encoder"} 1',
      'neuron_blip_replicas{state="in_use"} 1',
      "neuron_blip_requests_waiting 0",
      "neuron_blip_queue_limit 1000",
    ]) {
      assert(reply.body.split("\n").includes(line), `${line} is missing:\n${reply.body}`);
    }
    for (const line of reply.body.split("\n")) assert.match(line, /^(#|neuron_blip_|$)/);
    await app.close();
  });

  it("tells it on a port of its own, where asked to", async () => {
    const server = await serverOf(blip, { metrics: false, apiKeys: ["key"] });
    const metrics = await createMetricsServer(server);
    assert.equal((await metrics.inject("/metrics")).statusCode, 200);
    const headers = { authorization: "Bearer key" };
    assert.equal((await server.app.inject({ url: "/metrics", headers })).statusCode, 404);
    await metrics.close();
    await server.app.close();
  });

  it("ends when what is under way has: nothing is lost", async () => {
    const server = await serverOf(blip);
    await server.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = server.app.server.address() as AddressInfo;
    const asking = () =>
      fetch(`http://127.0.0.1:${port}${url}`, { method: "POST", headers: png, body: new Uint8Array(asked.picture) });
    const before = asking();
    while (blip.stats().callsWaiting + blip.stats().callsRunning === 0)
      await new Promise((resolve) => setImmediate(resolve));
    const stopping = stop(server, { drainDelayMs: 20, graceMs: 60_000 });
    const during = asking();
    assert.deepEqual([(await before).status, (await during).status], [200, 200]);
    assert.deepEqual(await stopping, { inTime: true });
    await assert.rejects(asking());
  });

  it("ends without waiting for connections that nothing has come by, as browsers open them ahead", async () => {
    const server = await serverOf(blip);
    const metrics = await createMetricsServer(server);
    for (const app of [metrics, server.app]) {
      await app.listen({ host: "127.0.0.1", port: 0 });
      const accepted = once(app.server, "connection");
      const socket = connect((app.server.address() as AddressInfo).port, "127.0.0.1");
      await accepted;
      await app.close();
      socket.destroy();
    }
  });

  it("ends once the last reply has gone, by connections too that were to be kept", async () => {
    const server = await serverOf(blip);
    await server.app.listen({ host: "127.0.0.1", port: 0 });
    const socket = connect((server.app.server.address() as AddressInfo).port, "127.0.0.1");
    const head = `POST ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${asked.picture.length}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), asked.picture]));
    let reply = "";
    socket.on("data", (chunk) => (reply += chunk));
    while (blip.stats().callsWaiting + blip.stats().callsRunning === 0)
      await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([server.app.close(), once(socket, "close")]);
    assert.match(reply, /^HTTP\/1\.1 200 /);
  });

  it("ends in time where what is under way does not", async () => {
    const server = await serverOf(blip);
    await server.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = server.app.server.address() as AddressInfo;
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([1])) }); // never ends
    const held = fetch(`http://127.0.0.1:${port}${url}`, {
      method: "POST",
      headers: png,
      body,
      duplex: "half",
    } as RequestInit);
    const failed = assert.rejects(held);
    while (server.context.bytesInHand.taken === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await stop(server, { drainDelayMs: 0, graceMs: 20 }), { inTime: false });
    await failed;
  });
});
