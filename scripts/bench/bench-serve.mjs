// Whether one server process uses all of a host's cores: its throughput against that of two that share the callers, with the demo's
// small model, so that what is measured is HTTP and decoding.
//   node scripts/bench/bench-serve.mjs [--seconds 10] [--rounds 3] [--callers 8]
// Pictures are 640 x 480 and 12 megapixels, as JPEG; each request's has other bytes, so that none is known from before.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
    callers: { type: "string", default: "8" },
  },
});
const seconds = Number(values.seconds);
const callers = Number(values.callers);
const root = fileURLToPath(new URL("../..", import.meta.url));
const cores = availableParallelism();

/** @param {number} width @param {number} height a picture with as much detail as a photograph has */
async function picture(width, height) {
  const noise = {
    width: width / 8,
    height: height / 8,
    channels: 3,
    noise: { type: "gaussian", mean: 128, sigma: 60 },
  };
  const create = /** @type {import("sharp").Create} */ ({ ...noise, background: "black" });
  return sharp({ create }).resize(width, height).jpeg({ quality: 90 }).toBuffer();
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/** @param {number} decoderThreads */
async function start(decoderThreads) {
  const port = await freePort();
  // One thread for the model, which is small: more would wait for one another, whatever the number of processes.
  const limits = ["--threads", "1", "--decoder-threads", `${decoderThreads}`, "--drain-delay", "0"];
  const args = ["dist/cli/main.js", "serve", "demo/model", "--port", `${port}`, "--log-level", "warn", ...limits];
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  while (!(await isReady(port))) {
    if (child.exitCode !== null) throw new Error("A server ended.");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { port, stop };
}

/** @param {number} port */
function isReady(port) {
  return new Promise((resolve) => {
    const get = request({ port, host: "127.0.0.1", path: "/readyz" }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    get.on("error", () => resolve(false));
    get.end();
  });
}

let made = 0;
/** @param {Agent} agent @param {number} port @param {Buffer} file */
async function ask(agent, port, file) {
  const other = Buffer.alloc(8);
  other.writeDoubleLE(made++);
  const headers = { "content-type": "image/jpeg", "content-length": file.length + other.length };
  const post = request({
    agent,
    port,
    host: "127.0.0.1",
    method: "POST",
    path: "/answer?question=how+many%3F",
    headers,
  });
  post.write(file);
  post.end(other); // behind the picture's end
  const [response] = await once(post, "response");
  response.resume();
  await once(response, "end");
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
}

/** @param {number} processes @param {Buffer} file @returns {Promise<number>} answers/s */
async function throughput(processes, file) {
  const servers = await Promise.all(Array.from({ length: processes }, () => start(Math.max(1, cores / processes))));
  const agent = new Agent({ keepAlive: true });
  try {
    let answers = 0;
    const run = (/** @type {number} */ end) =>
      Promise.all(
        Array.from({ length: callers }, async (_, i) => {
          const { port } = /** @type {{port: number}} */ (servers[i % servers.length]);
          for (; performance.now() < end; answers++) await ask(agent, port, file);
        }),
      );
    await run(performance.now() + 1000);
    answers = 0;
    const began = performance.now();
    await run(began + seconds * 1000);
    return (answers * 1000) / (performance.now() - began);
  } finally {
    agent.destroy();
    await Promise.all(servers.map(({ stop }) => stop()));
  }
}

/** @param {number[]} numbers */
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

for (const [width, height] of /** @type {const} */ ([
  [640, 480],
  [4000, 3000],
])) {
  const file = await picture(width, height);
  const rounds = [];
  for (let i = 0; i < Number(values.rounds); i++) {
    rounds.push({ one: await throughput(1, file), two: await throughput(2, file) });
  }
  const ratios = rounds.map(({ one, two }) => one / two);
  const [one, two] = [median(rounds.map((round) => round.one)), median(rounds.map((round) => round.two))];
  console.log(
    `${width} x ${height} (${(file.length / 1024).toFixed(0)} KB), ${callers} callers, ${cores} cores: one process ${one.toFixed(1)} answers/s, ` +
      `two ${two.toFixed(1)}; one against two ${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
  );
}
