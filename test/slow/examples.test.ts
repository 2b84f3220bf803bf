import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { demo, demoModel, fixture } from "../helpers.js";

const square = join(demo, "pictures/purple-square.png");
const star = join(demo, "pictures/yellow-star.png");
const circle = join(demo, "pictures/square-and-circle.png");

/** Runs an example to its end. */
function run(example: string, ...args: string[]): string {
  const path = fileURLToPath(new URL(`../../examples/${example}`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** What follows `serve` in a file. */
function argumentsOf(file: string, pattern: RegExp): string[] {
  const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
  const [, text] = pattern.exec(readFileSync(path, "utf8")) ?? [];
  assert(text !== undefined, `${file} serves nothing`);
  return text.split(" ");
}

describe("the examples", () => {
  it("run a TorchScript classifier on a picture, with the logits that Python gets", () => {
    const output = run("torch-module.mjs", fixture("modules/resnet.pt"), fixture("pictures/coffee.png"));
    // From torch 2.13.0 with Pillow's resize, rounded.
    assert.match(
      output,
      /inputs: pixels: Tensor\nclass 2: logit 0\.369\nclass 0: logit 0\.322\nclass 9: logit 0\.180\n/,
    );
  });

  it("ask about many pictures, of which one cannot be read, and twice about one that is looked at once", () => {
    const output = run("questions.mjs", demoModel, "what is in the picture?", square, "none.png", star);
    assert.equal(
      output,
      `${square}: a purple square\nnone.png: INVALID_IMAGE\n${star}: a yellow star\n${square}: purple, 1\n`,
    );
  });

  it("generate an answer in every way that there is", () => {
    const output = run("decoding.mjs", demoModel, circle, "what is in the picture?");
    const lines = Object.fromEntries(
      output
        .trim()
        .split("\n")
        .map((line) => line.split(": ") as [string, string]),
    );
    const whole = "a blue square and a purple circle";
    assert.deepEqual([lines.greedy, lines.streamed], [whole, whole]);
    assert.match(lines.beams ?? "", /^a blue square and a purple circle \| .+ \| .+$/);
    assert.equal(typeof lines.drawn, "string");
    assert.doesNotMatch(lines["without purple"] ?? "purple", /purple/);
    assert.doesNotMatch(lines["own processor"] ?? "purple", /purple|a .*\ba\b/);
    assert.equal(lines["own criterion"], "a blue square");
    assert.match(lines["ranked first"] ?? "", /^2, probability (0\.9\d\d|1\.000)$/);
  });

  it("caption and match pictures", () => {
    const models = [fixture("parity/captions/model"), fixture("parity/retrieval/model")];
    const lines = run("captions.mjs", ...models, square, star)
      .trim()
      .split("\n");
    assert.equal(lines.length, 6);
    assert(lines.slice(0, 2).every((line) => line.includes(".png: a picture of ")));
    assert(lines.slice(2, 4).every((line) => /^match a (purple square|yellow star): 0\.\d{3}$/.test(line)));
    assert(lines.slice(4).every((line) => /^similarity .+\.png: -?0\.\d{3} -?0\.\d{3}$/.test(line)));
  });

  it("serve a model on Inf2 by commands that serve one here as well, and end when told to", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-examples-"));
    const keys = join(directory, "api-keys");
    writeFileSync(keys, "a-key\n");
    for (const [file, pattern] of [
      ["examples/inf2/neuron-blip.service", /^ExecStart=\S+ serve (.+)$/m],
      ["deploy/inf2/Dockerfile", /^# +serve (.+)$/m],
    ] as const) {
      const [, ...args] = argumentsOf(file, pattern);
      const here = ["--host", "127.0.0.1", "--port", "0", "--api-key-file", keys, "--drain-delay", "0"];
      const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
      const server = spawn(process.execPath, [cli, "serve", demoModel, ...args, ...here], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const [line] = await once(server.stdout, "data");
        const [, origin] = /listening at (http:[^"]+)"/.exec(String(line)) ?? [];
        const question = encodeURIComponent("what is in the picture?");
        const response = await fetch(`${origin}/answer?question=${question}`, {
          method: "POST",
          body: new Uint8Array(readFileSync(star)),
          headers: { connection: "close", authorization: "Bearer a-key", "content-type": "image/png" },
        });
        const body = (await response.json()) as { answers: { answer: string }[] };
        assert.equal(response.status, 200, file);
        assert.equal(body.answers[0]?.answer, "a yellow star");
        server.kill("SIGTERM");
        assert.deepEqual(await once(server, "exit"), [0, null]);
      } finally {
        server.kill("SIGKILL");
      }
    }
    rmSync(directory, { recursive: true });
  });
});
