import { performance } from "node:perf_hooks";
import {
  type Context,
  context as contexts,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { FastifyInstance } from "fastify";
import { onDiagnostics } from "neuron-blip";
import { finalStatus } from "../sse.js";
import { BUILD } from "./build.js";
import { onEnded } from "./ended.js";

/**
 * Makes a span of each request, under its `traceparent`, and below it one of each stage of its calls. Where no OpenTelemetry SDK
 * was set up in the process, all of this is nothing.
 * @returns what ends it.
 */
export function traceRequests(app: FastifyInstance): () => void {
  const tracer = trace.getTracer("@neuron-blip/server", BUILD.server);
  const requests = new Map<string, { readonly span: Span; readonly context: Context }>();
  app.addHook("onRequest", async (request) => {
    const { work } = request.routeOptions.config;
    if (work === undefined) return;
    const parent = propagation.extract(contexts.active(), request.headers);
    const attributes = {
      "http.request.method": request.method,
      "http.route": request.routeOptions.url ?? "",
      "neuron_blip.api": work.api,
      "neuron_blip.task": work.task,
    };
    const span = tracer.startSpan(
      `${request.method} ${request.routeOptions.url}`,
      { kind: SpanKind.SERVER, attributes },
      parent,
    );
    requests.set(request.id, { span, context: trace.setSpan(parent, span) });
  });
  onEnded(app, (request, reply) => {
    const { span } = requests.get(request.id) ?? {};
    requests.delete(request.id);
    if (reply.raw.headersSent) span?.setAttribute("http.response.status_code", reply.statusCode);
    if (finalStatus(reply) >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  });
  return onDiagnostics("neuron-blip:stage", ({ stage, startedAt, durationMs, calls, error }) => {
    const all = calls.reduce((sum, { rows }) => sum + rows, 0);
    for (const { callId, rows } of calls) {
      const request = requests.get(callId);
      if (request === undefined) continue;
      const startTime = performance.timeOrigin + startedAt;
      // A batch is shared: its other rows are other requests'.
      const attributes = { "neuron_blip.rows": rows, "neuron_blip.batch_rows": all };
      const span = tracer.startSpan(stage, { startTime, attributes }, request.context);
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(startTime + durationMs);
    }
  });
}
