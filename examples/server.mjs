// A service that answers questions about pictures, always on:
//   node examples/server.mjs MODEL_DIRECTORY [PORT]
//   curl --data-binary @dog.jpg 'http://localhost:8080/answer?question=what+is+the+dog+doing%3F'
import { createServer } from "node:http";
import { NeuronBlip, NeuronBlipError } from "neuron-blip";

const [directory, port = "8080"] = process.argv.slice(2);
const MOST_BYTES = 20e6;
/** What the caller got wrong; everything else is this side's. */
const CALLERS = new Set(["INVALID_INPUT", "INVALID_IMAGE", "IMAGE_TOO_LARGE", "INPUT_TOO_LONG"]);

// Questions that wait run together, and a picture that is asked about again is not looked at again, so that each request can have
// its own call. More than so many that wait would only wait too long.
const blip = await NeuronBlip.fromPretrained(directory, { numModels: "all", maxQueueLength: 64 });
blip.on("replicaFailed", ({ replica, error }) => console.error(`replica ${replica} failed: ${error.message}`));
blip.on("replicaReady", ({ replica }) => console.error(`replica ${replica} is back`));
blip.on("replicaGivenUp", ({ replica, error }) => console.error(`replica ${replica} is given up: ${error.message}`));
blip.on("restartRequired", ({ error }) => {
  // NeuronCores are reset when a process begins: systemd, or whatever else watches this one, starts another.
  console.error(error.message);
  process.exit(1);
});

const server = createServer(async (request, response) => {
  const reply = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
  };
  // Nobody waits for the answer any more: stop generating it.
  const left = new AbortController();
  response.on("close", () => left.abort());
  try {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pathname === "/health") return reply(200, { replicas: blip.numModels });
    if (pathname !== "/answer" || request.method !== "POST") return reply(404, { error: "POST a picture to /answer" });
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) return reply(413, { error: `pictures of up to ${MOST_BYTES} bytes` });
      chunks.push(chunk);
    }
    const questions = searchParams.getAll("question");
    const answers = await blip.answer(Buffer.concat(chunks), questions, { signal: left.signal });
    reply(
      200,
      answers.map(({ answer, score }, i) => ({ question: questions[i], answer, score })),
    );
  } catch (error) {
    const code = error instanceof NeuronBlipError ? error.code : undefined;
    if (code === "ABORTED") return;
    reply(code === "QUEUE_FULL" ? 503 : CALLERS.has(code) ? 400 : 500, { code, error: error.message });
  }
});
server.listen(Number(port), () => console.log(`listening on ${server.address().port}`));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => server.close(() => blip.dispose())); // answers what it has begun, then ends
}
