// The whole of `neuron-blip validate`; test/tools/validate.test.ts tests its steps.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Report } from "../../dist/tools/validate/validate.js";
import { compiledModel } from "../helpers.ts";
import { alterTensor } from "../parity/safetensors.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const QUICK = ["--quick", "--measure", "0.05", "--soak", "0.2", "--threads", "1"];

describe("neuron-blip validate", function () {
  this.timeout(120_000);
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-validate-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs the command line on a model, with reports in the temporary directory. */
  function validate(model: string, ...args: string[]) {
    const result = spawnSync(process.execPath, [main, "validate", model, "--out", directory, ...QUICK, ...args], {
      encoding: "utf8",
    });
    return { ...result, report: () => readReport(), page: () => readFileSync(join(directory, "report.html"), "utf8") };
  }

  function readReport(): Report {
    return JSON.parse(readFileSync(join(directory, "report.json"), "utf8"));
  }

  /** A copy of the demo model, to break. */
  function copyOfDemo(): string {
    const copy = join(directory, "copy");
    cpSync(compiledModel, copy, { recursive: true });
    return copy;
  }

  it("passes the demo model, and writes every figure and plot", () => {
    const { status, stdout, stderr, page } = validate(compiledModel, "--replicas", "2", "--json");
    assert.equal(status, 0, stdout + stderr);
    const report = readReport();
    assert.deepEqual(JSON.parse(stdout), report);
    assert.equal(report.verdict.status, "pass");
    assert.match(report.verdict.words, /^Passed/);
    assert.equal(report.ranOn, "cpu");
    assert.equal(report.stopped, false);

    assert.deepEqual(
      report.parts.map(({ part, status, usesNeuron }) => [part, status, usesNeuron]),
      [
        ["vision_model", "pass", false],
        ["text_decoder", "pass", false],
        ["text_encoder", "pass", false],
      ],
    );
    for (const { latencyMs, loadMs, firstRunMs, differences } of report.parts) {
      assert(latencyMs.count > 0 && (latencyMs.median ?? 0) > 0 && loadMs > 0 && firstRunMs > 0);
      assert(differences.every(({ relative, scale }) => relative !== null && relative < 1e-3 && scale > 0));
    }
    assert(report.whole?.kind === "tokens" && report.whole.tokens > 1);
    assert.equal(report.whole.equalTokens, report.whole.tokens);

    assert.equal(report.latency?.callers, 1);
    assert((report.latency?.firstAnswerMs ?? 0) > (report.latency?.loadMs ?? 0));
    assert.deepEqual(
      report.throughput.map(({ replicas, callers }) => [replicas, callers]),
      [
        [1, 2],
        [2, 4],
      ],
    );
    for (const result of [report.latency, ...report.throughput]) {
      assert(result && result.answers > 0 && result.answersPerSecond > 0 && result.differentAnswers === 0);
      assert(result.rssAfterLoad > result.rssBeforeLoad && result.rssPeak >= result.rssAfterFirstAnswers);
      const counted = result.histogram.counts.reduce((sum, count) => sum + count, result.histogram.beyond);
      assert.equal(counted, result.answers);
    }
    assert(report.soak && report.soak.answers > 0 && report.soak.samples.length >= 2);
    assert.deepEqual(report.soak.errors, {});
    assert(report.soak.eventLoopDelayMs.largest >= report.soak.eventLoopDelayMs.p99);
    assert.deepEqual(
      report.exits.map(({ how, answered, code, signal }) => [how, answered, code, signal]),
      [
        ["process.exit()", true, 0, null],
        ["natural", true, 0, null],
      ],
    );
    assert.match(report.versions.libtorch ?? "", /^\d+\.\d+/);
    assert.equal(report.versions.node, process.versions.node);
    assert(report.model.versions.torch && report.model.versions.transformers);
    assert(report.host.memory > 0 && report.host.cores > 0 && report.host.kernel !== "");

    const html = page();
    for (const label of ["Distribution of latency", "Throughput by replicas", "Memory over the soak"]) {
      assert(html.includes(`aria-label="${label}"`), label);
    }
    assert(html.includes(report.verdict.words));
    assert.doesNotMatch(html, /https?:|<script|<link|NaN|undefined|Infinity/, "a page complete in itself");
  });

  it("fails and names the part whose results are not those recorded", () => {
    const copy = copyOfDemo();
    // As if the whole directory belonged together, so that only the comparison can tell.
    const file = alterTensor(join(copy, "reference.safetensors"), "text_encoder.output.question_embeds");
    const path = join(copy, "neuron_blip.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    manifest.reference.sha256 = createHash("sha256").update(file).digest("hex");
    writeFileSync(path, JSON.stringify(manifest));

    const { status, stdout, report, page } = validate(copy, "--replicas", "1");
    assert.equal(status, 1);
    assert.match(stdout, /FAIL {2}text_encoder against what was recorded/);
    assert.deepEqual(
      report().parts.map(({ part, status }) => `${part} ${status}`),
      ["vision_model pass", "text_decoder pass", "text_encoder fail"],
    );
    assert.match(report().verdict.words, /^Failed: 1 of \d+ .*: part\.text_encoder\./);
    assert(page().includes("part.text_encoder"));
  });

  it("says what to do about a directory without a reference, and checks the rest", () => {
    const copy = copyOfDemo();
    rmSync(join(copy, "reference.safetensors"));
    const { status, stdout, report } = validate(copy, "--replicas", "1");
    assert.equal(status, 1);
    assert.match(stdout, /no reference\.safetensors.*\n.*npx neuron-blip compile/);
    assert.equal(report().ranOn, "cpu");
    assert((report().soak?.answers ?? 0) > 0);
  });

  it("writes a report of a model that does not load", () => {
    const copy = copyOfDemo();
    writeFileSync(join(copy, "text_decoder.pt"), "nothing");
    const { status, report, page } = validate(copy, "--replicas", "1");
    assert.equal(status, 1);
    const decoder = report().checks.find(({ id }) => id === "part.text_decoder");
    assert.match(decoder?.what ?? "", /text_decoder\.pt.*\[ARTIFACT_/);
    assert.match(report().verdict.words, /part\.text_decoder.*latency.*soak.*exit\.natural/);
    assert(page().includes("Not measured."));
  });

  it("stops at Ctrl-C, and writes what there is", async () => {
    const args = [main, "validate", compiledModel, "--out", directory, ...QUICK, "--soak", "600", "--replicas", "1"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (text) => {
      const before = stderr;
      stderr += text;
      const soaks = /soak: 2 callers/;
      if (soaks.test(stderr) && !soaks.test(before)) child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(code, 1, stderr);
    const report = readReport();
    assert.equal(report.stopped, true);
    assert.match(report.verdict.words, /^Stopped before its end/);
    assert.equal(report.throughput.length, 1);
    assert((report.soak?.answers ?? 0) > 0);
    assert.deepEqual(report.exits, []);
  });

  it("exits with 2 for wrong arguments, and with 1 where there is no model", () => {
    for (const args of [[], ["a", "b"], ["a", "--soak", "long"], ["a", "--replicas", "0"], ["a", "--loud"]]) {
      const { status, stderr } = spawnSync(process.execPath, [main, "validate", ...args], { encoding: "utf8" });
      assert.equal(status, 2, stderr);
    }
    const { status, stderr } = validate(join(directory, "none"));
    assert.equal(status, 1);
    assert.match(stderr, /no model directory.*\[ARTIFACT_NOT_FOUND\]/);
  });
});
