import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BenchReport, MeasuredBatch } from "../../dist/tools/bench/bench-module.js";
import { parseInput, shapesFor } from "../../dist/tools/bench/input-specs.js";
import { barsOf } from "../../scripts/bench/bars.mjs";
import { Child } from "../../scripts/bench/child.mjs";
import { NAMES } from "../../scripts/bench/competitors.mjs";
import { sharesOf } from "../../scripts/bench/limits.mjs";
import { page } from "../../scripts/bench/page.mjs";
import { inTurn, quantile } from "../../scripts/bench/rounds.mjs";
import { NUMBER_TYPES, seenTask, TASKS } from "../../scripts/bench/sections.mjs";
import { workOfModel } from "../../scripts/bench/work.mjs";
import { compiledModel, demo, fails, fixture } from "../helpers.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const ours = fileURLToPath(new URL("../../scripts/bench/ours.mjs", import.meta.url));
const resnet = fixture("modules/resnet.pt");
const RESNET_INPUT = ["--input", "1x3x32x32:float32"];

describe("neuron-blip bench", function () {
  this.timeout(60_000);
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-bench-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs the command line, with one thread and its JSON in the temporary directory. */
  function bench(file: string, ...args: string[]) {
    const json = join(directory, "bench.json");
    const own = ["--threads", "1", "--calls", "3", "--json", json];
    const result = spawnSync(process.execPath, [main, "bench", file, ...own, ...args], { encoding: "utf8" });
    return { ...result, report: (): BenchReport => JSON.parse(readFileSync(json, "utf8")) };
  }

  it("times any TorchScript file at each batch size, and writes figures that fit together, and a page", () => {
    const html = join(directory, "bench.html");
    const { status, stdout, stderr, report } = bench(resnet, "--batch", "1,2,4", ...RESNET_INPUT, "--html", html);
    assert.equal(status, 0, stdout + stderr);
    const results = report().results as readonly MeasuredBatch[];
    assert.deepEqual(
      results.map(({ batchSize, file, shapes }) => ({ batchSize, file, shapes })),
      [1, 2, 4].map((batchSize) => ({ batchSize, file: "resnet.pt", shapes: [[batchSize, 3, 32, 32]] })),
    );
    for (const { batchSize, latencyMs, rowsPerSecond } of results) {
      assert.equal(latencyMs.count, 3);
      const { min, median, p99, max, mean } = latencyMs;
      assert((min ?? 0) > 0 && (min ?? 0) <= (median ?? 0) && (median ?? 0) <= (p99 ?? 0) && (p99 ?? 0) <= (max ?? 0));
      assert(Math.abs(rowsPerSecond - (1000 * batchSize) / (mean ?? 0)) < 1e-6 * rowsPerSecond);
    }
    const best = [...results].sort((one, other) => other.rowsPerSecond - one.rowsPerSecond)[0]?.batchSize;
    assert.match(stdout, new RegExp(`Most rows in a second: batches of ${best}\\.`));
    const written = readFileSync(html, "utf8");
    assert.match(written, new RegExp(`batches of ${best}\\.`));
    assert.equal(written.match(/<svg /g)?.length, 2);
  });

  it("knows from the manifest what a compiled part takes", () => {
    const part = join(compiledModel, "text_encoder.pt");
    const { status, stdout, stderr, report } = bench(part, "--batch", "1");
    assert.equal(status, 0, stdout + stderr);
    const manifest = JSON.parse(readFileSync(join(compiledModel, "neuron_blip.json"), "utf8"));
    const expected = manifest.parts.text_encoder.inputs.map(({ shape }: { shape: number[] }) => shape);
    assert.deepEqual((report().results[0] as MeasuredBatch).shapes, expected);
  });

  it("runs a batch size on the file that was compiled for it", () => {
    for (const name of ["net.pt", "net_batch_4.pt"]) copyFileSync(resnet, join(directory, name));
    const { status, stderr, report } = bench(join(directory, "net.pt"), "--batch", "2,4", ...RESNET_INPUT);
    assert.equal(status, 0, stderr);
    assert.deepEqual(
      report().results.map(({ file }) => file),
      ["net.pt", "net_batch_4.pt"],
    );
  });

  it("tells which batch size failed and why, and measures the others", () => {
    copyFileSync(resnet, join(directory, "net.pt"));
    writeFileSync(join(directory, "net_batch_2.pt"), "no module");
    const { status, stdout, report } = bench(join(directory, "net.pt"), "--batch", "1,2", ...RESNET_INPUT);
    assert.equal(status, 1);
    const [one, two] = report().results;
    assert(one && "latencyMs" in one);
    assert(two && "code" in two && two.code === "ARTIFACT_CORRUPT");
    assert.match(stdout, /net_batch_2\.pt.*\[ARTIFACT_CORRUPT\]/);
  });

  it("says what is missing or wrong, with a code or as wrong arguments", () => {
    const cases: [string[], number, RegExp][] = [
      [[resnet], 1, /Give its input \(\w+\) with --input.*\[INVALID_INPUT\]/],
      [[resnet, "--input", "1x3xx"], 1, /"1x3xx" is no input.*\[INVALID_INPUT\]/],
      [[resnet, "--input", "1x4"], 1, /resnet\.pt" failed: .*\[EXECUTION_FAILED\]/],
      [[join(directory, "none.pt")], 1, /There is no file.*\[ARTIFACT_NOT_FOUND\]/],
      [[resnet, "--batch", "1,0"], 2, /--batch takes a whole number of 1 or more, not 0/],
      [[], 2, /bench takes one TorchScript file/],
    ];
    for (const [args, status, words] of cases) {
      const result = spawnSync(process.execPath, [main, "bench", ...args], { encoding: "utf8" });
      assert.equal(result.status, status, result.stderr);
      assert.match(result.stderr, words);
    }
  });

  it("puts the batch where a part's dimensions are free, and leaves fixed inputs and lone positions alone", () => {
    const input = (shape: number[]) => ({ name: "", dtype: "float32" as const, shape });
    const free = [input([-1, -1]), input([12, 2, -1, 4, -1, 8]), input([-1]), input([1, 5, 8])];
    assert.deepEqual(shapesFor(free, 4, 7), [[4, 7], [12, 2, 4, 4, 7, 8], [4], [1, 5, 8]]);
    assert.deepEqual(shapesFor([input([1, 20]), input([1])], 4, 7), [[4, 20], [1]]);
  });

  it("reads an input's shape and dtype", () => {
    assert.deepEqual(parseInput("1x3x4"), { name: "", dtype: "float32", shape: [1, 3, 4] });
    assert.deepEqual(parseInput("8:int64"), { name: "", dtype: "int64", shape: [8] });
    for (const text of ["", "x", "1x0", "1:float", "1,2"]) {
      assert.throws(() => parseInput(text), fails("INVALID_INPUT", /is no input/));
    }
  });
});

describe("the benchmark", function () {
  this.timeout(60_000);

  it("begins each round with another competitor, and does not count the rounds before", async () => {
    const order: string[] = [];
    const run = (name: string) => async (round: number) => {
      order.push(name);
      return round;
    };
    const samples = await inTurn(
      ["a", "b", "c"].map((name) => [name, run(name)] as const),
      { rounds: 3, warmUp: 1, settleMs: 0 },
    );
    assert.equal(order.join(""), "abcbcacababc");
    assert.deepEqual(samples.get("b"), [1, 2, 3]);
  });

  it("takes quantiles between neighbours", () => {
    assert.deepEqual(
      [0, 0.25, 0.5, 1].map((share) => quantile([4, 1, 2, 3], share)),
      [1, 1.75, 2.5, 4],
    );
  });

  const result = (task: string, competitor: string, samples: number[]) => {
    return { section: "s", task, competitor, unit: "ms", samples };
  };
  const none = { weightsBytes: 1e8, hasBfloat16: true, agreement: new Map() };

  it("judges each bar by the rounds' ratios, and leaves out what was not measured", () => {
    const results = [
      // The machine was ten times slower in the second round, for both.
      result(TASKS.whole, NAMES.tutorial, [100, 1000, 100]),
      result(TASKS.whole, NAMES.oursFp32, [60, 600, 70]),
      result(TASKS.whole, NAMES.oursBf16, [40, 400, 40]),
      result(TASKS.peak, NAMES.oursFp32, [125]),
      result(TASKS.oneReplica, NAMES.oursFp32, [200]),
      result(TASKS.twoReplicas, NAMES.oursFp32, [208]),
    ];
    const bars = barsOf(results, none);
    assert.deepEqual(
      bars.map(({ bar, value, met }) => [bar, Number(value.toFixed(6)), met]),
      [
        [0.65, 0.6, true],
        [0.36, 0.4, false],
        [1.3, 1.25, true],
        [0.05, 0.04, true],
      ],
    );
    const shares = [{ task: "<share>", competitor: NAMES.oursFp32, ms: 10, limitMs: 8, share: 0.8 }];
    const report = {
      ...{ version: 1, startedAt: "2026-01-02T03:04:05Z", machine: "<machine>", settings: "", versions: { node: "1" } },
      ...{ bars, shares, agreement: "", results: [result("<task>", NAMES.oursFp32, [1, 2])] },
    };
    const html = page(report);
    assert.match(html, /1 of 4 bars are not met/);
    assert.match(html, /&lt;task&gt;/);
    assert.match(html, /&lt;share&gt;.*80 %/s);
    assert.doesNotMatch(html, /<task>|<machine>|<share>/);
  });

  it("asks of a CPU without bfloat16 what int8 can do there, and of others what bf16 can", () => {
    const results = [
      result(TASKS.whole, NAMES.tutorial, [100]),
      result(TASKS.whole, NAMES.oursFp32, [67]),
      result(TASKS.whole, NAMES.oursBf16, [50]),
      result(TASKS.whole, NAMES.oursInt8, [37]),
      result(seenTask(1), NAMES.oursInt8, [10]),
      result(seenTask(8), NAMES.oursInt8, [31]),
    ];
    const judged = (hasBfloat16: boolean) =>
      barsOf(results, { ...none, hasBfloat16 }).map(({ bar, value, met }) => [bar, value, met]);
    const callers = [3, 3.1, true];
    assert.deepEqual(judged(true), [[0.65, 0.67, false], [0.36, 0.5, false], callers]);
    assert.deepEqual(judged(false), [[0.68, 0.67, true], [0.38, 0.37, true], callers]);
  });

  it("allows a decoder step in int8 14 ms, and more where its linears alone take more than 10", () => {
    const step = result(TASKS.step, NAMES.oursInt8, [21]);
    const linears = (ms: number) => result(TASKS.linears, NUMBER_TYPES.int8, [ms]);
    const values = [[step], [step, linears(5)], [step, linears(20)]].map((results) => barsOf(results, none)[0]?.value);
    assert.deepEqual(values, [1.5, 1.5, 0.75]);
  });

  it("asks that float32 gives the tutorial's tokens in every answer", () => {
    const barOf = (same: number) => {
      const agreement = new Map([
        [NAMES.oursFp32, { same, all: 132 }],
        [NAMES.oursInt8, { same: 1, all: 132 }],
      ]);
      return barsOf([], { ...none, agreement }).map(({ met }) => met);
    };
    assert.deepEqual([132, 131].map(barOf), [[true], [false]]);
  });

  const config = {
    vision_config: {
      ...{ hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12 },
      ...{ image_size: 384, patch_size: 16 },
    },
    text_config: {
      ...{ hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12 },
      ...{ encoder_hidden_size: 768, vocab_size: 30524 },
    },
  };

  it("counts what BLIP-VQA's stages calculate and read", () => {
    const { vision, step, next, whole, decoderLinears } = workOfModel(config, { questionTokens: 8, answerTokens: 3 });
    const operations = (works: typeof whole) => works.reduce((sum, work) => sum + work.operations, 0);
    assert.equal((operations(vision) / 1e9).toFixed(1), "111.0");
    assert.equal(((step[0]?.weights ?? 0) / 1e6).toFixed(1), "123.1");
    assert.equal(decoderLinears.length, 12 * 6 + 2);
    // A picture's keys and values: 577 rows through 12 linears of 768 x 1536.
    assert.equal(operations(whole) - operations(vision) - operations(next), 2 * 577 * 12 * 768 * 1536);
  });

  it("tells how much of a figure the machine's limits explain", () => {
    const work = workOfModel(config, { questionTokens: 8, answerTokens: 3 });
    const [picture, step] = [work.vision[0]?.operations ?? 0, work.step[0]?.weights ?? 0];
    const figures = [
      result(TASKS.vision, NAMES.onnx, [1000]),
      result(TASKS.vision, NAMES.oursBf16, [500]),
      result(TASKS.vision, NAMES.onnxInt8, [500]),
      result(TASKS.step, NAMES.oursInt8, [20]),
    ];
    const limits = [
      result(TASKS.multiplication, NUMBER_TYPES.float32, [picture / 1e9, 1]), // a second for a picture
      result(TASKS.multiplication, NUMBER_TYPES.int8, [1, picture / 0.25e9]),
      result(TASKS.reading, "", [step / 10e6]), // 10 ms for a decoder's weights in int8
    ];
    assert.deepEqual(sharesOf(figures, work), []);
    assert.deepEqual(
      sharesOf([...figures, ...limits], work).map(({ task, competitor, ms, limitMs, share }) =>
        [task, competitor, ms, Math.round(limitMs), Number(share.toFixed(6))].join(", "),
      ),
      [
        "vision, ONNX Runtime, 1000, 1000, 1",
        // Without bfloat16 its numbers are multiplied in float32.
        "vision, ours, bf16, 500, 1000, 2",
        "vision, ONNX Runtime, int8, 500, 250, 0.5",
        "decoder step, ours, int8, 20, 10, 0.5",
      ],
    );
  });

  it("has a child that does task after task, whatever fails in between", async () => {
    const child = await Child.start("ours", process.execPath, [ours, compiledModel, '{"threads": 1}']);
    try {
      assert(child.readyMs > 0);
      assert.equal(child.versions.node, process.versions.node);
      const pictures = ["yellow-star.png", "three-shapes.png"].map((name) => join(demo, "pictures", name));
      const question = "what is in the picture?";
      const asked = { pictures, questions: [question, question], tokens: 3 };
      const { ms, tokens } = await child.ask("whole", asked);
      assert((ms ?? 0) > 0);
      // The decoder's start token, and as many tokens as asked for.
      assert.deepEqual(
        tokens?.map(({ length }) => length),
        [4, 4],
      );
      await assert.rejects(child.ask("nothing"), /ours: there is no task "nothing"/);
      await assert.rejects(child.ask("whole", { ...asked, pictures: ["none.jpg", "none.jpg"] }), /none\.jpg/);
      const next = { picture: pictures[0], warm: [question], question, tokens: 3 };
      assert(((await child.ask("next", next)).ms ?? 0) > 0);
      for (const name of ["vision", "text encoder", "decoder step"]) {
        const stage = await child.ask("stage", { name, picture: pictures[0], question });
        assert((stage.ms ?? 0) > 0, name);
      }
      assert(((await child.ask("memory")).rss ?? 0) > 1e6);
    } finally {
      await child.close();
    }
  });
});
