// `neuron-blip batch` ended in every way that a fleet ends a process, and gone on with.
import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../service/helpers/child.js";
import { figure } from "../service/helpers/figures.js";
import { until } from "../service/helpers/ports.js";
import { demoModel, root } from "../service/helpers/server-process.js";

const LINES = 400;
const KILLS = 20;
const SEED = 19;
const main = join(root, "dist", "cli", "main.js");
const demo = join(root, "demo");
const questions: { picture: string; question: string }[] = JSON.parse(
  readFileSync(join(demo, "questions.json"), "utf8"),
);

describe("batch", function () {
  this.timeout(240_000);
  let directory = "";
  let input = "";
  let undisturbed = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-batch-"));
    input = join(directory, "x.jsonl");
    writeFileSync(input, Array.from({ length: LINES }, (_, i) => `${lineOf(i)}\n`).join(""));
    await finish(start("undisturbed"));
    undisturbed = outputOf("undisturbed");
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Every kind of line: pictures by path and in themselves, with questions of their own or the standing one, and bad ones. */
  function lineOf(i: number): string {
    const asked = questions[i % questions.length];
    assert(asked);
    if (i % 40 === 7) return '{"id": "bad';
    if (i % 40 === 17) return JSON.stringify({ id: `line ${i}`, picture: "none.png" });
    const path = join(demo, asked.picture);
    const picture = i % 3 === 0 ? { base64: readFileSync(path).toString("base64") } : path;
    return JSON.stringify({ id: `line ${i}`, picture, ...(i % 5 > 0 && { question: asked.question }) });
  }

  function start(output: string, options: readonly string[] = [], limits = ""): Child {
    const args = ["batch", demoModel, "--input", input, "--output", join(directory, output), ...options];
    const command = [process.execPath, main, ...args, "--question", "what is in the picture?"];
    return new Child("sh", ["-c", `${limits} exec "$@"`, "sh", ...command], { stdio: ["ignore", "pipe", "pipe"] });
  }

  async function finish(child: Child, code = 0): Promise<void> {
    assert.deepEqual(await child.exit, { code, signal: null }, child.output);
  }

  function outputOf(output: string, name = "part-1-of-1"): string {
    return readFileSync(join(directory, output, `${name}.jsonl`), "utf8");
  }

  /** Compares by lines, of which the first that differ are shown. */
  function assertUndisturbed(output: string): void {
    const lines = outputOf(output).split("\n");
    const expected = undisturbed.split("\n");
    const others = lines.flatMap((line, i) => (line === expected[i] ? [] : [[line, expected[i]]]));
    assert.deepEqual(others.slice(0, 3), []);
    assert.equal(lines.length, expected.length);
  }

  function partOf(output: string): string {
    return join(directory, output, "part-1-of-1.jsonl.part");
  }

  function sizeOf(file: string): number {
    return existsSync(file) ? statSync(file).size : 0;
  }

  it("gives each line its result once, in order, where nothing disturbs it", () => {
    const ids = undisturbed
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).id);
    assert.deepEqual(
      ids,
      Array.from({ length: LINES }, (_, i) => (i % 40 === 7 ? i + 1 : `line ${i}`)),
    );
    assert.equal(undisturbed.match(/"error":/g)?.length, LINES / 20);
  });

  it(`killed by SIGKILL at ${KILLS} random moments, and begun again each time, has written what an undisturbed run writes`, async () => {
    const random = randomOf(SEED);
    const size = Buffer.byteLength(undisturbed);
    const sizes = Array.from({ length: KILLS }, () => random() * 0.95 * size).sort((one, other) => one - other);
    const part = partOf("killed");
    let [atWork, torn] = [0, 0];
    for (const [i, most] of sizes.entries()) {
      await using child = start("killed");
      const before = sizeOf(part);
      // At some size of the output; every other time maybe earlier, as while the model is loaded.
      const latest = i % 2 === 0 ? Number.POSITIVE_INFINITY : performance.now() + random() * 1500;
      await until("the moment has come", async () => sizeOf(part) > most || performance.now() > latest, 60_000, 1);
      assert(!child.hasEnded, child.output);
      child.process.kill("SIGKILL");
      assert.deepEqual(await child.exit, { code: null, signal: "SIGKILL" });
      const now = sizeOf(part);
      if (now > before) atWork++;
      if (now > 0) {
        assert(undisturbed.startsWith(readFileSync(part, "utf8")), `after kill ${i + 1}`);
        // As a host that lost its power, or a full disk, leaves it.
        if (i % 3 === 0) {
          truncateSync(part, Math.max(0, now - 1 - Math.floor(random() * 150)));
          torn++;
        }
      }
    }
    await finish(start("killed"));
    assertUndisturbed("killed");
    assert.deepEqual(readdirSync(join(directory, "killed")).sort(), ["part-1-of-1.json", "part-1-of-1.jsonl"]);
    figure(
      `batch, ${LINES} lines`,
      `${KILLS} SIGKILLs, ${atWork} of them after lines had been written, ${torn} with a torn end`,
    );
  });

  it("in 3 shards has each line once", async () => {
    for (const i of [1, 2, 3]) await finish(start("shards", ["--shard", `${i}/3`]));
    const parts = [1, 2, 3].map((i) => outputOf("shards", `part-${i}-of-3`).trim().split("\n"));
    for (const part of parts) assert(part.length > LINES / 5, `${part.length}`);
    assert.deepEqual(parts.flat().sort(), undisturbed.trim().split("\n").sort());
  });

  it("ends at SIGTERM after what is under way, with a code of its own, and goes on from there", async () => {
    const part = partOf("stopped");
    await using child = start("stopped");
    await until("it is at work", async () => sizeOf(part) > 0, 60_000, 1);
    child.process.kill("SIGTERM");
    await finish(child, 143);
    assert.match(child.output, /stopping after the pictures under way/);
    const text = readFileSync(part, "utf8");
    assert(text.endsWith("\n") && undisturbed.startsWith(text));
    await finish(start("stopped"));
    assertUndisturbed("stopped");
  });

  it("ends with 1 where the output may not grow, and goes on where it may again", async () => {
    const limited = start("full", [], "ulimit -f 16;");
    await finish(limited, 1);
    assert.match(limited.output, /Cannot write into/);
    assert(sizeOf(partOf("full")) > 0);
    await finish(start("full"));
    assertUndisturbed("full");
  });

  it("leaves a shard to the process that writes it", async () => {
    await using first = start("twice");
    await until("it has the lock", async () => sizeOf(join(directory, "twice", "part-1-of-1.lock")) > 0, 60_000, 1);
    first.process.kill("SIGSTOP");
    const second = start("twice");
    await finish(second, 1);
    assert.match(second.output, new RegExp(`Process ${first.pid} on .* is writing this output`));
    first.process.kill("SIGCONT");
    await finish(first);
    assertUndisturbed("twice");
  });

  it("refuses to go on with an input that has changed meanwhile", async () => {
    const part = partOf("changed");
    {
      await using child = start("changed");
      await until("it is at work", async () => sizeOf(part) > 0, 60_000, 1);
      child.process.kill("SIGKILL");
      await child.exit;
    }
    const before = readFileSync(part, "utf8");
    const whole = readFileSync(input, "utf8");
    writeFileSync(input, whole.replace('"id":"line 399"', '"id":"line 398"'));
    try {
      const refused = start("changed");
      await finish(refused, 2);
      assert.match(refused.output, /different input/);
      assert.equal(readFileSync(part, "utf8"), before);
    } finally {
      writeFileSync(input, whole);
    }
  });
});

/** Draws numbers from 0 to 1 by a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
