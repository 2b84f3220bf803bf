import { randomUUID } from "node:crypto";
import swagger from "@fastify/swagger";
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import type { NeuronBlip } from "neuron-blip";
import { pino } from "pino";
import type { ServerContext } from "./context.js";
import { onClientError, pathOf, replyToErrors, watchReplies } from "./errors.js";
import { healthEndpoints } from "./health/endpoints.js";
import { ServerState } from "./health/server-state.js";
import { beginRequests, checkQueue } from "./limits/admit.js";
import { readBodies } from "./limits/bodies.js";
import { ByteBudget } from "./limits/byte-budget.js";
import { endConnectionsOnClose } from "./limits/closing.js";
import { BUILD } from "./observing/build.js";
import { onEnded } from "./observing/ended.js";
import { metricsEndpoint, ServerMetrics } from "./observing/metrics.js";
import { traceRequests } from "./observing/tracing.js";
import { DEFAULT_LIMITS, type ServerOptions } from "./options.js";
import { page } from "./page.js";
import { decodable, Paths } from "./paths.js";
import { PictureReader } from "./pictures/picture-reader.js";
import { PictureUrls } from "./pictures/picture-urls.js";
import { inferenceEndpoints } from "./protocols/inference.js";
import { openAiEndpoints } from "./protocols/openai.js";
import { ownEndpoints } from "./protocols/own.js";
import { sageMakerEndpoints } from "./protocols/sagemaker.js";
import { ApiKeys, requireKey } from "./security/api-keys.js";
import { requireOwnHost } from "./security/own-host.js";
import { finalStatus } from "./sse.js";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What /openapi.json says of bodies that no JSON schema checks, by content type. */
    otherBodies?: Readonly<Record<string, object>>;
  }
}

/** A server of a model, which is not listening yet. */
export interface BlipServer {
  readonly app: FastifyInstance;
  readonly context: ServerContext;
}

/** How long a request's headers may take to come, in ms. */
const HEADERS_TIMEOUT_MS = 10_000;
/** What the log says of a request whose client did not wait for the reply, as nginx does. */
const CLIENT_LEFT = 499;
/** How often Node looks for requests that are late. */
const LATE_LOOKED_EVERY_MS = 1000;

/**
 * Makes a server of a loaded model, which stays its caller's to dispose after `app.close()`. Load the model with `files: false` and
 * `fetch: false`: the server gives it bytes alone.
 */
export async function createServer(blip: NeuronBlip, options: ServerOptions = {}): Promise<BlipServer> {
  const { modelName = "blip", standingQuestions = [], allowedUrls = [], allowedHosts = [], apiKeys = [] } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const loggerInstance: FastifyBaseLogger = pino({ level: options.logLevel ?? "info" });
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.maxBodyBytes,
    genReqId: () => randomUUID(),
    requestTimeout: limits.requestTimeoutMs,
    http: {
      // Node would take the larger of both for the request's.
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, limits.requestTimeoutMs),
      connectionsCheckingInterval: LATE_LOOKED_EVERY_MS,
    },
    return503OnClosing: false, // it is unready before, and what comes all the same is answered
    clientErrorHandler: onClientError,
    rewriteUrl: ({ url = "/" }) => decodable(url),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array", allErrors: false, allowUnionTypes: true } },
  });
  const urls = new PictureUrls(allowedUrls, limits.maxBodyBytes);
  const context: ServerContext = {
    blip,
    modelName,
    limits,
    standingQuestions,
    pictures: new PictureReader(urls),
    bytesInHand: new ByteBudget(limits.maxBytesInHand),
    metrics: new ServerMetrics(blip),
    state: new ServerState(blip),
  };
  endConnectionsOnClose(app);
  Paths.watch(app);
  replyToErrors(app);
  watchReplies(app);
  beginRequests(app, context);
  logRequests(app); // after it: what a client that left had asked for is aborted by then
  context.metrics.countRequests(app);
  const stopTracing = traceRequests(app);
  app.addHook("onSend", async (request, reply) => {
    reply.header("x-request-id", request.id);
    reply.header("x-content-type-options", "nosniff");
    if (context.state.isDraining) reply.header("connection", "close");
  });
  if (apiKeys.length > 0) requireKey(app, new ApiKeys(apiKeys));
  else requireOwnHost(app, allowedHosts);
  checkQueue(app, context);
  readBodies(app, limits);
  await app.register(swagger, openApi());
  await app.register(healthEndpoints, { context });
  await app.register(ownEndpoints, { context });
  await app.register(openAiEndpoints, { context, prefix: "/v1" });
  await app.register(inferenceEndpoints, { context, prefix: "/v2" });
  await app.register(sageMakerEndpoints, { context });
  await app.register(page, { context });
  if (options.metrics ?? true) await app.register(metricsEndpoint, { metrics: context.metrics });
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
  app.addHook("onClose", async () => {
    stopTracing();
    context.metrics.end();
    context.state.end();
    await urls.close();
  });
  await app.ready();
  return { app, context };
}

/** Makes a server of /metrics alone, for a port of its own, without keys. */
export async function createMetricsServer({ context }: BlipServer): Promise<FastifyInstance> {
  const app = fastify({ logger: false, requestTimeout: HEADERS_TIMEOUT_MS, clientErrorHandler: onClientError });
  endConnectionsOnClose(app);
  Paths.watch(app);
  replyToErrors(app);
  await app.register(metricsEndpoint, { metrics: context.metrics, open: true });
  await app.ready();
  return app;
}

/** Logs a line for each request, without what was asked: also for those whose clients left, which got no whole reply. */
function logRequests(app: FastifyInstance): void {
  onEnded(app, (request, reply) => {
    const { method } = request;
    const hasLeft = !reply.raw.writableFinished;
    const status = hasLeft ? CLIENT_LEFT : finalStatus(reply);
    const level = request.routeOptions.config.open ? "debug" : status >= 500 ? "warn" : "info";
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    request.log[level]({ method, path: pathOf(request), status, ms }, hasLeft ? "the client left" : "replied");
  });
}

function openApi() {
  return {
    openapi: { openapi: "3.1.0", info: { title: "neuron-blip", version: BUILD.server } },
    transform: ({
      schema,
      url,
      route,
    }: {
      schema: object;
      url: string;
      route: { config?: { otherBodies?: object } };
    }) => {
      const others = route.config?.otherBodies;
      const { body, ...rest }: { body?: { content?: object } } = schema;
      return { schema: others ? { ...rest, body: { content: { ...body?.content, ...others } } } : schema, url };
    },
  };
}
