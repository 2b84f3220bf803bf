import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlipError, Tensor } from "neuron-blip";
import { growthOf, histogramOf, quantile, summarize } from "../../dist/tools/report/statistics.js";
import { loadCheck, wholeChecks } from "../../dist/tools/validate/checks.js";
import { differenceOf, isWithin } from "../../dist/tools/validate/differences.js";
import { load } from "../../dist/tools/validate/load.js";
import { reportPage } from "../../dist/tools/validate/page.js";
import { readSafetensors } from "../../dist/tools/validate/reference.js";
import { runStep } from "../../dist/tools/validate/run-step.js";
import { countsTo } from "../../dist/tools/validate/validate.js";
import { compiledModel } from "../helpers.ts";
import { alterTensor } from "../parity/safetensors.ts";

describe("a step of validate, in a process of its own", function () {
  this.timeout(60_000);
  const input = { id: "parts" as const, threads: 1, seconds: 0.01, replicas: 1, callers: 1 };
  const options = { signal: new AbortController().signal, limitSeconds: 60, say: () => {} };

  it("finds a reference.safetensors that is not the file that neuron_blip.json describes, and tokens that differ", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-validate-"));
    try {
      cpSync(compiledModel, directory, { recursive: true });
      alterTensor(join(directory, "reference.safetensors"), "generate.sequences");
      const { result, failure } = await runStep("parts", directory, input, options);
      assert.equal(failure, undefined);
      assert.deepEqual(
        result?.checks.map(({ id, status }) => [id, status]),
        [["reference", "fail"]],
      );
      assert(result?.whole?.kind === "tokens");
      assert.equal(result.whole.equalRows, 0);
      assert.equal(result.whole.equalTokens, result.whole.tokens - 1);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("compares parts of other batch sizes with the recorded rows, taken in turn", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-validate-"));
    try {
      cpSync(compiledModel, directory, { recursive: true });
      // The parts take any batch on the CPU: only the manifest's shapes tell them apart from the recorded ones.
      const path = join(directory, "neuron_blip.json");
      const manifest = JSON.parse(readFileSync(path, "utf8"));
      for (const name of Object.keys(manifest.parts)) {
        const batched = { ...structuredClone(manifest.parts[name]), file: `${name}_batch_3.pt` };
        for (const { name, shape } of [...batched.inputs, ...batched.outputs]) {
          if (name !== "current_position") shape[0] = 3;
        }
        manifest.parts[`${name}_batch_3`] = batched;
        cpSync(join(directory, `${name}.pt`), join(directory, batched.file));
      }
      manifest.batch_sizes = [1, 3];
      writeFileSync(path, JSON.stringify(manifest));
      const { result } = await runStep("parts", directory, input, options);
      const part = result?.parts.find(({ part }) => part === "vision_model_batch_3");
      assert.equal(part?.status, "pass");
      assert((part?.differences[0]?.scale ?? 0) > 0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("that crashes is a finding, with its signal", async () => {
    process.env.NODE_OPTIONS = "--import=data:text/javascript,process.kill(process.pid,'SIGSEGV')";
    try {
      const { result, failure } = await runStep("load", compiledModel, input, options);
      assert.equal(result, undefined);
      assert.match(failure ?? "", /ended with SIGSEGV/);
    } finally {
      delete process.env.NODE_OPTIONS;
    }
  });

  it("that takes too long is ended", async () => {
    const { failure } = await runStep(
      "load",
      compiledModel,
      { ...input, seconds: 600 },
      { ...options, limitSeconds: 0.01 },
    );
    assert.match(failure ?? "", /longer than 0\.01 s/);
  });

  it("that throws is a finding, with its code", async () => {
    const { failure } = await runStep("load", "/no/such/model", input, options);
    assert.match(failure ?? "", /no model directory.*\[ARTIFACT_NOT_FOUND\]/);
  });
});

describe("validate's load", () => {
  const once = { callers: 2, seconds: 0, signal: new AbortController().signal };

  it("counts outcomes that are not the first for the same input", async () => {
    const workload = { items: 2, ask: async (item: number) => ({ tokenIds: [item] }) };
    const { answers, differentAnswers } = await load(workload, [{ tokenIds: [0] }, { tokenIds: [7] }], once);
    assert.deepEqual([answers, differentAnswers], [2, 1]);
  });

  it("counts errors by their codes, and goes on", async () => {
    const workload = {
      items: 2,
      ask: async (item: number) => {
        if (item === 0) throw new NeuronBlipError("NEURON_EXECUTION", "status 1200");
        return { score: 0.5 };
      },
    };
    const { answers, errors, errorMessages } = await load(workload, [{ score: 0.5 }, { score: 0.5 }], once);
    assert.equal(answers, 1);
    assert.deepEqual(errors, { NEURON_EXECUTION: 1 });
    assert.deepEqual(errorMessages, { NEURON_EXECUTION: "status 1200" });
  });
});

describe("validate's judgement of other tokens", () => {
  const whole = { kind: "tokens", rows: 2, equalRows: 1, tokens: 8, equalTokens: 6 } as const;
  const statuses = (exact: boolean) => wholeChecks(whole, exact, "answers").map(({ status }) => status);

  it("is that they are a fault on the CPU, and to be judged where casts round more", () => {
    assert.deepEqual([statuses(true), statuses(false)], [["fail"], ["warning"]]);
  });

  it("is that answers that change with what shares their batch are a fault", async () => {
    const workload = { items: 1, ask: async () => ({ tokenIds: [1] }) };
    const once = { callers: 1, seconds: 0, signal: new AbortController().signal };
    const result = await load(workload, [{ tokenIds: [0] }], once);
    assert.equal(loadCheck("soak", "Soak", result, "answers").status, "fail");
  });
});

describe("validate's figures", () => {
  it("are numpy's percentiles", () => {
    const { count, min, median, mean, p90, p99, max } = summarize([10, 1, 2, 3, 4]);
    assert.deepEqual([count, min, median, mean, max], [5, 1, 3, 4, 10]);
    assert(Math.abs((p90 ?? 0) - 7.6) < 1e-12 && Math.abs((p99 ?? 0) - 9.76) < 1e-12);
    assert.equal(quantile([1, 2], 0.5), 1.5);
    assert.deepEqual(summarize([]), { count: 0, min: null, median: null, mean: null, p90: null, p99: null, max: null });
  });

  it("count every value once, in a bin or beyond", () => {
    const values = Array.from({ length: 1000 }, (_, i) => i);
    const { from, to, counts, beyond } = histogramOf(values, 10);
    assert.deepEqual([from, beyond], [0, 5]);
    assert(Math.abs(to - 994.005) < 1e-9);
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      995,
    );
    assert.deepEqual(histogramOf([4, 4, 4]), { from: 4, to: 4, counts: [3], beyond: 0 });
  });

  it("tell growth from warming up", () => {
    assert.equal(growthOf([1, 50, 90, 90, 90, 90, 90, 90, 90, 90]), 0);
    assert.equal(growthOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 6);
    assert.equal(growthOf([1, 2, 3]), null);
  });

  it("are of all numbers of replicas up to 4, then of doubles", () => {
    assert.deepEqual(countsTo(1), [1]);
    assert.deepEqual(countsTo(3), [1, 2, 3]);
    assert.deepEqual(countsTo(12), [1, 2, 3, 4, 8, 12]);
  });

  it("tell a difference from one that cannot be told", () => {
    const wanted = Tensor.from(Float32Array.of(1, -4), [2]);
    const differs = (values: number[]) =>
      differenceOf("x", Tensor.from(Float32Array.from(values), [values.length]), wanted);
    const near = differs([1, -3.5]);
    assert.deepEqual([near.largest, near.mean, near.scale, near.relative], [0.5, 0.25, 4, 0.125]);
    assert(isWithin(near, 0.2) && !isWithin(near, 0.1));
    for (const [difference, problem] of [
      [differs([1, Number.NaN]), /value 1 is NaN/],
      [differs([1]), /\[1\].*\[2\] was recorded/],
      [differenceOf("x", undefined, wanted), /no "x"/],
    ] as const) {
      assert.match(difference.problem ?? "", problem);
      assert(!isWithin(difference, 1));
    }
  });

  it("are shown as text, whatever errors say", () => {
    const page = reportPage({
      version: 1,
      startedAt: "2026-01-01T00:00:00.000Z",
      seconds: 1,
      stopped: false,
      verdict: { status: "fail", words: "<b>" },
      ranOn: "stand-in",
      ranOnWords: "a stand-in",
      settings: { replicas: 1, threads: null, measureSeconds: 1, soakSeconds: 1 },
      versions: { "neuron-blip": "0", node: "20" },
      host: { cpu: "<cpu>", cores: 1, memory: 1, kernel: "", system: "", architecture: "x64" },
      model: {
        directory: "<dir>",
        architecture: "BlipForQuestionAnswering",
        target: "inf2",
        batchSize: null,
        imageSize: 384,
        questionLength: null,
        answerLength: null,
        compilerArgs: [],
        source: null,
        versions: {},
      },
      checks: [{ id: "soak", status: "fail", what: "<script>", cure: "<img>" }],
      unit: "answers",
      parts: [],
      whole: null,
      latency: null,
      throughput: [],
      soak: null,
      exits: [],
    });
    assert.doesNotMatch(page, /<script|<img|<cpu|<dir|class="verdict fail"><b/);
    assert.match(page, /No figure here is one of a device/);
  });
});

describe("validate's reading of .safetensors", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-safetensors-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Writes a file of a header and so many bytes. */
  function file(header: unknown, bytes = Buffer.alloc(0)): string {
    const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const path = join(directory, "file.safetensors");
    writeFileSync(path, Buffer.concat([length, text, bytes]));
    return path;
  }

  it("gives tensors of every dtype, and the metadata", async () => {
    const path = file(
      {
        __metadata__: { max_length: "9" },
        a: { dtype: "F32", shape: [1, 2], data_offsets: [0, 8] },
        b: { dtype: "I64", shape: [], data_offsets: [8, 16] },
        c: { dtype: "F16", shape: [2], data_offsets: [16, 20] },
      },
      Buffer.from("0000803f000000c0feffffffffffffff003c00c0", "hex"),
    );
    const { tensors, metadata } = await readSafetensors(path);
    assert.deepEqual(metadata, { max_length: "9" });
    assert.deepEqual(tensors.get("a")?.data, Float32Array.of(1, -2));
    assert.deepEqual(tensors.get("a")?.shape, [1, 2]);
    assert.deepEqual(tensors.get("b")?.data, BigInt64Array.of(-2n));
    assert.equal(tensors.get("c")?.dtype, "float16");
  });
});
