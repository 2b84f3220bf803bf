/** Requests of every kind with damages in them, the same for the same seed. */
import { Dice, mutateBytes, mutateJson } from "../../../../../scripts/fuzz/mutate.mjs";
import { answerPath, picture } from "./pictures.js";
import { requestBytes } from "./raw.js";

interface Template {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
}

export interface MutatedRequest {
  readonly what: string;
  readonly bytes: Buffer;
}

const base64 = picture.toString("base64");
const dataUrl = `data:image/png;base64,${base64}`;
const question = "how many stars are there?";

const json = (path: string, body: object): Template => ({
  method: "POST",
  path,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(body)),
});
const get = (path: string): Template => ({ method: "GET", path, headers: {}, body: Buffer.alloc(0) });

const form = Buffer.concat([
  Buffer.from('--bound\r\nContent-Disposition: form-data; name="question"\r\n\r\nwhat shape is red?\r\n'),
  Buffer.from(
    '--bound\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n',
  ),
  picture,
  Buffer.from('\r\n--bound\r\nContent-Disposition: form-data; name="numBeams"\r\n\r\n2\r\n--bound--\r\n'),
]);

const inference = {
  id: "1",
  inputs: [
    { name: "image", shape: [1], datatype: "BYTES", data: [base64] },
    { name: "question", shape: [1], datatype: "BYTES", data: [question] },
  ],
  outputs: [{ name: "answer" }],
};
const binaryHead = JSON.stringify({
  inputs: [
    { name: "image", shape: [1], datatype: "BYTES", parameters: { binary_data_size: picture.length + 4 } },
    { name: "question", shape: [1], datatype: "BYTES", data: [question] },
  ],
});
const size = Buffer.alloc(4);
size.writeUInt32LE(picture.length);

const TEMPLATES: readonly Template[] = [
  { method: "POST", path: answerPath(2), headers: { "content-type": "image/png" }, body: picture },
  {
    method: "POST",
    path: answerPath(),
    headers: { "content-type": "image/png", accept: "text/event-stream" },
    body: picture,
  },
  { method: "POST", path: "/answer", headers: { "content-type": "multipart/form-data; boundary=bound" }, body: form },
  json("/answer", { picture: base64, questions: [question], numBeams: 2, maxNewTokens: 4 }),
  json("/answer", { picture: { base64 }, questions: [question, question] }),
  json("/answer", { picture: { url: dataUrl }, questions: [question] }),
  json("/answer", { picture: { url: "http://pictures.test/a.png" }, questions: [question] }),
  json("/rank", { picture: base64, questions: [question], candidates: ["1", "2", "3"] }),
  json("/caption", { picture: base64, text: "a picture of" }),
  json("/match", { picture: base64, texts: ["a star"] }),
  json("/v1/chat/completions", {
    model: "model",
    stream: true,
    max_tokens: 5,
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: question },
          { type: "image_url", image_url: { url: dataUrl } },
        ],
      },
    ],
  }),
  json("/v2/models/model/infer", inference),
  {
    method: "POST",
    path: "/v2/models/model/infer",
    headers: {
      "content-type": "application/octet-stream",
      "inference-header-content-length": Buffer.byteLength(binaryHead),
    },
    body: Buffer.concat([Buffer.from(binaryHead), size, picture]),
  },
  json("/invocations", { inputs: { image: base64, question } }),
  { method: "POST", path: "/invocations", headers: { "content-type": "image/png" }, body: picture },
  ...["/readyz", "/metrics", "/openapi.json", "/v1/models", "/v2/models/model", "/ping", "/"].map(get),
];

const METHODS = ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "post", "G\0T", ""];

const HEADERS: readonly (readonly [string, string])[] = [
  ["content-type", ""],
  ["content-type", "application/json"],
  ["content-type", "application/json; charset=utf-7"],
  ["content-type", "multipart/form-data"],
  ["content-type", "multipart/form-data; boundary="],
  ["content-type", `multipart/form-data; boundary=${"b".repeat(300)}`],
  ["content-type", "text/plain"],
  ["content-type", "image/png, image/jpeg"],
  ["content-type", "\xff\xfe"],
  ["content-encoding", "gzip"],
  ["transfer-encoding", "chunked"],
  ["transfer-encoding", "gzip, chunked"],
  ["content-length", "7"],
  ["content-length", "-7"],
  ["content-length", "1e9"],
  ["content-length", "99999999"],
  ["expect", "100-continue"],
  ["expect", "200-ok"],
  ["connection", "upgrade"],
  ["upgrade", "websocket"],
  ["connection", "close, close, close"],
  ["host", ""],
  ["host", "elsewhere.test"],
  ["origin", "null"],
  ["accept", "text/event-stream"],
  ["accept", ",;q=,"],
  ["authorization", "Bearer "],
  ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ["traceparent", "zz-"],
  ["baggage", "a=".repeat(3000)],
  ["x-request-id", "x".repeat(5000)],
  ["range", "bytes=0-"],
  ["cookie", "x".repeat(20_000)],
  ["accept-language", "\0"],
  ["inference-header-content-length", "-1"],
  ["inference-header-content-length", "999999"],
  ["__proto__", "x"],
  ["constructor", "x"],
];

const QUERIES = [
  "?",
  "?question",
  "?question=",
  "?question=%",
  "?question=%00",
  "?question=%ff%fe",
  "?question[]=a&question[b]=c",
  `?question=${"x".repeat(600)}`,
  `?question=${"%F0%9F%98%80".repeat(300)}`,
  `?${"question=a&".repeat(40)}`,
  `?question=a&${"x=1&".repeat(2000)}`,
  "?question=a&numBeams=0",
  "?question=a&numBeams=1e9",
  "?question=a&numBeams=NaN&maxNewTokens=-1",
  "?question=a&numBeams=1000",
  "?question=a&maxNewTokens=1000000",
  "?question=a&doSample=1&seed=-1&temperature=0",
  "?__proto__=1&constructor=2&toString=3",
  "?callId=1&signal=2&streamer=3",
  "?question=a#fragment",
];

const TARGETS = [
  "*",
  "http://elsewhere.test/answer",
  "//answer",
  "/../../etc/passwd",
  "/%2e%2e/%2e%2e",
  "/answer/%00",
  "/%",
  "/answer/",
  "x",
];

const WAYS: Readonly<Record<string, (template: Template, dice: Dice) => Buffer>> = {
  bytes: (template, dice) => mutateBytes(whole(template), dice, whole(dice.pick(TEMPLATES))).bytes,
  body: (template, dice) =>
    whole({ ...template, body: mutateBytes(template.body, dice, dice.pick(TEMPLATES).body).bytes }),
  json: (template, dice) => {
    if (template.headers["content-type"] !== "application/json") template = dice.pick(TEMPLATES.filter(isJson));
    return whole({ ...template, body: mutateJson(template.body, dice).bytes });
  },
  header: ({ headers, ...template }, dice) => {
    const added = Array.from({ length: 1 + dice.below(3) }, () => dice.pick(HEADERS));
    return whole({ ...template, headers: { ...headers, ...Object.fromEntries(added) } });
  },
  "header twice": (template, dice) => {
    const bytes = whole(template);
    const end = bytes.indexOf("\r\n") + 2;
    const [name, value] = dice.pick(HEADERS);
    return Buffer.concat([bytes.subarray(0, end), Buffer.from(`${name}: ${value}\r\n`, "latin1"), bytes.subarray(end)]);
  },
  query: (template, dice) => whole({ ...template, path: `${template.path.split("?")[0]}${dice.pick(QUERIES)}` }),
  target: (template, dice) => whole({ ...template, path: dice.pick(TARGETS) }),
  method: (template, dice) => whole({ ...template, method: dice.pick(METHODS) }),
  path: (template, dice) => whole({ ...template, path: dice.pick(TEMPLATES).path }),
};

function isJson({ headers }: Template): boolean {
  return headers["content-type"] === "application/json";
}

function whole({ method, path, headers, body }: Template): Buffer {
  return requestBytes(method, path, headers, body);
}

export function mutatedRequest(seed: number, index: number): MutatedRequest {
  const dice = new Dice((seed * 1_000_003 + index) | 0);
  const template = dice.pick(TEMPLATES);
  const way = dice.pick(["json", "json", "body", ...Object.keys(WAYS)]);
  const mutate = WAYS[way];
  if (mutate === undefined) throw new Error(`there is no way ${way}`);
  return { what: `${way} of ${template.method} ${template.path.slice(0, 60)}`, bytes: mutate(template, dice) };
}

/** Whether a server can see where the request ends: else it waits for the rest, rightly. */
export function isWhole(bytes: Buffer): boolean {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const head = bytes.toString("latin1", 0, end);
  if (/^transfer-encoding:/im.test(head)) return bytes.indexOf("0\r\n\r\n", end) >= 0;
  const lengths = [...head.matchAll(/^content-length:\s*(\S*)/gim)].map(([, length]) => Number(length));
  return lengths.every((length) => !(bytes.length - end - 4 < length));
}
