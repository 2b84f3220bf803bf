/** The schemas of the Open Inference Protocol's endpoints. Parameters that nobody here knows are let pass, as the protocol has it. */

const TEXT = { type: "string" };
const SHAPE = { type: "array", items: { type: "integer", minimum: 0 } };
const PARAMETERS = { type: "object" };

/** What a request's JSON is checked by: its body may be binary, which no route's schema can be. */
export const INFERENCE_REQUEST = {
  type: "object",
  required: ["inputs"],
  properties: {
    id: TEXT,
    parameters: { type: "object", properties: { binary_data_output: { type: "boolean" } } },
    inputs: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "shape", "datatype"],
        properties: {
          name: TEXT,
          shape: SHAPE,
          datatype: { type: "string", enum: ["BYTES"] },
          parameters: { type: "object", properties: { binary_data_size: { type: "integer", minimum: 0 } } },
          data: { type: "array", description: "pictures in base64; texts as they are" },
        },
      },
    },
    outputs: {
      type: "array",
      items: {
        type: "object",
        required: ["name"],
        properties: {
          name: TEXT,
          parameters: { type: "object", properties: { binary_data: { type: "boolean" } } },
        },
      },
    },
  },
} as const;

const TENSOR = {
  type: "object",
  properties: { name: TEXT, datatype: TEXT, shape: SHAPE, parameters: PARAMETERS, data: { type: "array" } },
};
const INFERENCE_RESPONSE = {
  type: "object",
  properties: {
    model_name: TEXT,
    model_version: TEXT,
    id: TEXT,
    outputs: { type: "array", items: TENSOR },
  },
};
const TENSOR_METADATA = {
  type: "object",
  properties: { name: TEXT, datatype: TEXT, shape: { type: "array", items: { type: "integer" } } },
};

const replying = (summary: string, properties: object) => ({
  summary,
  response: { 200: { type: "object", properties } },
});
const health = (summary: string, properties: object) => {
  const reply = { type: "object", properties };
  return { summary, response: { 200: reply, 503: reply } };
};

export const SERVER = replying("The server, as the Open Inference Protocol describes it", {
  name: TEXT,
  version: TEXT,
  extensions: { type: "array", items: TEXT },
});
export const LIVE = health("Whether the process should go on", { live: { type: "boolean" } });
export const READY = health("Whether requests may come", { ready: { type: "boolean" } });
export const MODEL_READY = health("Whether the model can take requests", { name: TEXT, ready: { type: "boolean" } });
export const MODEL = replying("The model's inputs and outputs", {
  name: TEXT,
  versions: { type: "array", items: TEXT },
  platform: TEXT,
  inputs: { type: "array", items: TENSOR_METADATA },
  outputs: { type: "array", items: TENSOR_METADATA },
});
/** The reply is JSON, or binary, which it writes itself. */
export const INFER = {
  summary: "Asks about pictures, by the Open Inference Protocol",
  response: { 200: INFERENCE_RESPONSE },
};

export const INFER_BODIES = {
  "application/json": { schema: INFERENCE_REQUEST },
  "application/octet-stream": { schema: { type: "string", format: "binary" } },
};
