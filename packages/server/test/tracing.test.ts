// The spans of requests, with an OpenTelemetry SDK in the process as an operator sets one up.
import assert from "node:assert/strict";
import { propagation, SpanKind, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { NeuronBlip } from "neuron-blip";
import { asked, loadModel, other, serverOf } from "./server-test.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

describe("the spans of requests", () => {
  const exporter = new InMemorySpanExporter();
  let blip: NeuronBlip;
  before(async () => {
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    blip = await loadModel({ maxBatchDelayMs: 1000, maxBatchSize: 2 });
  });
  after(async () => {
    await blip.dispose();
    trace.disable();
    propagation.disable();
  });

  it("are below the caller's, with one for each stage; a shared batch gives each request its own", async () => {
    const { app } = await serverOf(blip);
    const ask = ({ picture, question }: typeof asked, headers: Record<string, string> = {}) =>
      app.inject({
        method: "POST",
        url: `/answer?${new URLSearchParams({ question })}`,
        headers: { "content-type": "image/png", ...headers },
        payload: picture,
      });
    const replies = await Promise.all([ask(asked, { traceparent: `00-${TRACE}-${PARENT}-01` }), ask(other)]);
    assert.deepEqual(
      replies.map(({ statusCode }) => statusCode),
      [200, 200],
    );
    await app.close();
    const spans = exporter.getFinishedSpans();
    const request = spans.find(({ parentSpanContext }) => parentSpanContext?.spanId === PARENT);
    assert.equal(request?.name, "POST /answer");
    assert.equal(request.kind, SpanKind.SERVER);
    assert.equal(request.spanContext().traceId, TRACE);
    assert.equal(request.attributes["http.response.status_code"], 200);
    const below = spans.filter(({ parentSpanContext }) => parentSpanContext?.spanId === request.spanContext().spanId);
    assert.deepEqual(
      below.map(({ name }) => name),
      ["decode", "vision", "encoder", "decoder"],
    );
    const inMs = ([seconds, nanoseconds]: readonly [number, number]) => seconds * 1000 + nanoseconds / 1e6;
    for (const { startTime, endTime } of below) {
      assert(inMs(startTime) >= inMs(request.startTime) - 1 && inMs(endTime) <= inMs(request.endTime) + 1);
    }
    const decoders = spans.filter(({ name }) => name === "decoder");
    assert.equal(decoders.length, 2, "one for each of the two requests");
    for (const { attributes } of decoders) {
      assert.deepEqual([attributes["neuron_blip.rows"], attributes["neuron_blip.batch_rows"]], [1, 2]);
    }
  });

  it("say nothing of what was asked", async () => {
    const told = JSON.stringify(exporter.getFinishedSpans().map(({ name, attributes }) => [name, attributes]));
    assert(!told.includes(asked.question) && !told.includes(encodeURIComponent(asked.question)));
  });
});
