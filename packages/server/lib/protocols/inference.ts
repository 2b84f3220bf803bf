/** The Open Inference Protocol, version 2, under /v2, as KServe and Triton have it, with its binary extension. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerContext } from "../context.js";
import { replyToErrors } from "../errors.js";
import { jsonParser, readBodiesAsBytes } from "../limits/bodies.js";
import { BUILD } from "../observing/build.js";
import { Problem } from "../problem.js";
import { checked } from "./checked.js";
import { inferenceModelOf } from "./inference-models.js";
import * as schemas from "./inference-schemas.js";
import { type InputTensor, type OutputTensor, readInputs, writeOutput } from "./inference-tensors.js";

/** A server has one model, in one version. */
const VERSION = "1";
const MODEL_PATHS = ["/models/:name", "/models/:name/versions/:version"] as const;
/** How long the JSON is where tensors' bytes follow it. */
const JSON_LENGTH = "inference-header-content-length";

interface ModelRoute {
  Params: { name: string; version?: string };
}

interface InferenceRequest {
  readonly id?: string;
  readonly parameters?: { readonly binary_data_output?: boolean };
  readonly inputs: readonly InputTensor[];
  readonly outputs?: readonly { readonly name: string; readonly parameters?: { readonly binary_data?: boolean } }[];
}

export async function inferenceEndpoints(app: FastifyInstance, { context }: { context: ServerContext }): Promise<void> {
  replyToErrors(app, (problem, reply) => reply.send({ error: problem.message }));
  readBodiesAsBytes(app, context.limits);
  healthEndpoints(app, context);
  modelEndpoints(app, context);
}

function healthEndpoints(app: FastifyInstance, { state, modelName }: ServerContext): void {
  const config = { open: true };
  app.get("", { schema: schemas.SERVER }, async () => ({
    name: "neuron-blip",
    version: BUILD.server,
    extensions: ["binary_tensor_data"],
  }));
  app.get("/health/live", { schema: schemas.LIVE, config }, async (_, reply) => {
    const live = state.whyDead === undefined;
    return reply.code(live ? 200 : 503).send({ live });
  });
  app.get("/health/ready", { schema: schemas.READY, config }, async (_, reply) => {
    const ready = state.whyUnready === undefined;
    return reply.code(ready ? 200 : 503).send({ ready });
  });
  for (const path of MODEL_PATHS) {
    app.get<ModelRoute>(`${path}/ready`, { schema: schemas.MODEL_READY, config }, async ({ params }, reply) => {
      checkModel(params, modelName);
      const ready = state.whyUnready === undefined;
      return reply.code(ready ? 200 : 503).send({ name: modelName, ready });
    });
  }
}

function modelEndpoints(app: FastifyInstance, context: ServerContext): void {
  const { modelName } = context;
  const model = inferenceModelOf(context);
  const { inputs, outputs } = model;
  const metadata = { name: modelName, versions: [VERSION], platform: "neuron-blip", inputs, outputs };
  const work = { api: "oip", task: model.task };
  const config = { work, otherBodies: schemas.INFER_BODIES };
  const parse = jsonParser(app);
  for (const path of MODEL_PATHS) {
    app.get<ModelRoute>(path, { schema: schemas.MODEL }, async ({ params }) => {
      checkModel(params, modelName);
      return metadata;
    });
    app.post<ModelRoute>(`${path}/infer`, { schema: schemas.INFER, config }, async (request, reply) => {
      checkModel(request.params, modelName);
      const { json, binary } = splitBody(request);
      const asked = checked<InferenceRequest>(request, schemas.INFERENCE_REQUEST, await parse(request, json), "body");
      const wanted = wantedOf(asked, outputs);
      const tensors = await model.infer(request, readInputs(asked.inputs, binary));
      const written = wanted.flatMap(({ name, asBinary }) =>
        tensors.filter((tensor) => tensor.name === name).map((tensor: OutputTensor) => writeOutput(tensor, asBinary)),
      );
      const head = { model_name: modelName, model_version: VERSION, ...(asked.id !== undefined && { id: asked.id }) };
      const text = JSON.stringify({ ...head, outputs: written.map(({ json }) => json) });
      if (!wanted.some(({ asBinary }) => asBinary)) return reply.type("application/json").send(text);
      const bytes = Buffer.from(text);
      reply.header(JSON_LENGTH, bytes.length).type("application/octet-stream");
      return reply.send(Buffer.concat([bytes, ...written.map(({ bytes }) => bytes)]));
    });
  }
}

/** Splits a body into its JSON and the bytes after it. @throws Problem `INVALID_INPUT` */
function splitBody({ body, headers }: FastifyRequest): { json: Buffer; binary: Buffer } {
  if (!Buffer.isBuffer(body)) throw new Problem("INVALID_INPUT", "The request has no body.");
  const length = Number(headers[JSON_LENGTH] ?? body.length);
  if (!Number.isInteger(length) || length < 0 || length > body.length) {
    throw new Problem("INVALID_INPUT", `The body has ${body.length} bytes: Inference-Header-Content-Length is not so.`);
  }
  return { json: body.subarray(0, length), binary: body.subarray(length) };
}

/** Returns the outputs that were asked for, else all. @throws Problem `INVALID_INPUT` */
function wantedOf({ outputs, parameters }: InferenceRequest, known: readonly { readonly name: string }[]) {
  const asBinary = parameters?.binary_data_output ?? false;
  const wanted = outputs && outputs.length > 0 ? outputs : known.map(({ name }) => ({ name, parameters: undefined }));
  return wanted.map(({ name, parameters }) => {
    if (known.some((output) => output.name === name)) return { name, asBinary: parameters?.binary_data ?? asBinary };
    throw new Problem("INVALID_INPUT", `There is no output "${name.slice(0, 50)}".`);
  });
}

function checkModel({ name, version = VERSION }: ModelRoute["Params"], modelName: string): void {
  if (name !== modelName) {
    throw new Problem("NOT_FOUND", `There is no model "${name.slice(0, 100)}" here, but "${modelName}".`);
  }
  if (version !== VERSION) {
    throw new Problem("NOT_FOUND", `There is no version ${version.slice(0, 20)} of the model, but ${VERSION}.`);
  }
}
