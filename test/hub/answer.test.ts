// From a model's name on the Hugging Face Hub to an answer, against a stand-in for the Hub.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NeuronBlip, pipeline } from "neuron-blip";
import { fixture } from "../helpers.js";
import { HubTest } from "./hub-test.js";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const checkpoint = fixture("parity/checkpoint/model");
const picture = fixture("pictures/chelsea.png");
const NAME = "owner/blip";
const QUESTION = "how many dogs are in the picture?";

describe("a checkpoint by its name on the Hugging Face Hub", () => {
  let test: HubTest;

  beforeEach(async () => {
    test = await HubTest.start();
    const files = readdirSync(checkpoint).map((name) => [name, readFileSync(join(checkpoint, name))] as const);
    test.hub.commit(NAME, Object.fromEntries(files));
  });

  afterEach(() => test[Symbol.asyncDispose]());

  it("answers as from its directory, the second time without a request", async () => {
    await using local = await NeuronBlip.fromPretrained(checkpoint);
    const { answer, score } = await local.answer(picture, QUESTION);
    for (const load of [
      () => NeuronBlip.fromPretrained(NAME, { progress: false, signal: AbortSignal.timeout(60_000) }),
      async () => (await pipeline("visual-question-answering", NAME)).model,
    ]) {
      await using blip = await load();
      const theirs = await blip.answer(picture, QUESTION);
      assert.deepEqual([theirs.answer, theirs.score], [answer, score]);
      test.hub.requests.length = 0;
    }
    await using again = await NeuronBlip.fromPretrained(NAME);
    assert.equal((await again.answer(picture, QUESTION)).answer, answer);
    assert.deepEqual(test.hub.requests, []);
  });

  it("answers on the command line, with nothing but the answer on the standard output", async () => {
    await using local = await NeuronBlip.fromPretrained(checkpoint);
    const { answer } = await local.answer(picture, QUESTION);
    const child = spawn(process.execPath, [main, "ask", NAME, picture, QUESTION], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const texts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (piece) => {
        texts[name] += piece;
      });
    }
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    assert.equal(code, 0, texts.stderr);
    assert(texts.stdout.startsWith(`${QUESTION} ${answer} (score `), texts.stdout);
    assert.equal(texts.stdout.trim().split("\n").length, 1);
    assert.match(texts.stderr, /^neuron-blip: fetching owner\/blip, .* into the Hugging Face cache\n$/);
  });
});
