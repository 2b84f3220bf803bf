import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { demo, demoModel, fixture, demoQuestions as questions } from "./helpers.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const [first] = questions as [(typeof questions)[number]];
const circle = join(demo, "pictures/square-and-circle.png");
const star = join(demo, "pictures/yellow-star.png");
const count = "how many shapes are there?";
const scene = "what is in the picture?";
/** Small, with random weights: what they say has no sense. */
const captionModel = fixture("parity/captions/model");
const retrievalModel = fixture("parity/retrieval/model");

/** Runs the command line. */
function cli(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
}

/** The objects that a command prints with --json, one per line. */
function jsonLines(args: string[]) {
  const { status, stdout, stderr } = cli([...args, "--json"]);
  assert.equal(status, 0, stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("neuron-blip on the command line", () => {
  it("lists its commands, and each command its options", () => {
    const commands = ["ask", "caption", "match", "build"].map((command) => [command, "--help"]);
    for (const args of [["--help"], ["demo", "-h"], ...commands]) {
      const { status, stdout } = cli(args);
      assert.equal(status, 0);
      assert.match(stdout, /Usage: neuron-blip/);
    }
    assert.match(cli(["--version"]).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it("exits with 2 for wrong arguments, and says which", () => {
    for (const [args, message] of [
      [[], /Usage/],
      [["sing"], /no command "sing"/],
      [["ask", "dir"], /at least one question/],
      [["ask", "dir", "a.png", "what?", "--loud"], /--loud/],
      [["ask", "dir", "a.png", "what?", "--max-new-tokens", "many"], /whole number, not "many"/],
      [["ask", "dir", "a.png", "what?", "where?", "--stream"], /--stream takes one question/],
      [["ask", "dir", "a.png", "what?", "--stream", "--num-beams", "2"], /--stream and --num-beams/],
      [
        ["ask", "dir", "a.png", "what?", "--candidates", "a,b", "--alternatives", "2"],
        /--candidates and --alternatives/,
      ],
      [["ask", "dir", "a.png", "what?", "--candidates", "a,,b"], /not "a,,b"/],
      [["caption", "dir"], /at least one picture/],
      [["match", "dir", "a.png"], /at least one text/],
    ] as [string[], RegExp][]) {
      const { status, stdout, stderr } = cli(args);
      assert.equal(status, 2, stderr);
      assert.match(stdout + stderr, message);
    }
  });

  it("answers questions about a picture, in words and as JSON", () => {
    const args = ["ask", demoModel, join(demo, first.picture), first.question];
    const words = cli(args);
    assert.equal(words.status, 0, words.stderr);
    assert.match(words.stdout, new RegExp(`${first.answer} \\(score [01]\\.\\d{3}\\)\\n$`));

    const answers = jsonLines([...args, first.question]);
    assert.deepEqual(
      answers.map(({ question, answer }) => [question, answer]),
      [
        [first.question, first.answer],
        [first.question, first.answer],
      ],
    );
    assert(answers.every(({ score }) => score > 0 && score <= 1));
  });

  it("prints the alternatives of beam search below each answer, and as JSON within it", () => {
    const args = ["ask", demoModel, circle, count, "--alternatives", "3"];
    const { stdout } = cli(args);
    assert.match(stdout, /^how many shapes are there\? 2 \(score [\d.]+\)\n( {2}or: .+ \(score [\d.]+\)\n){2}$/);
    const [{ answer, alternatives }] = jsonLines([...args, "--num-beams", "2"]);
    assert.equal(answer, "2");
    assert.equal(alternatives.length, 2, "--alternatives makes more beams of fewer");
  });

  it("searches with --num-beams", () => {
    const [greedy] = jsonLines(["ask", demoModel, circle, scene]);
    const [beams] = jsonLines(["ask", demoModel, circle, scene, "--num-beams", "2"]);
    assert.equal(beams.answer, greedy.answer);
    assert.notEqual(beams.sequenceScore, greedy.sequenceScore, "only beam search divides by the length");
  });

  it("prints an answer as it is generated, as a whole line", () => {
    const { status, stdout, stderr } = cli(["ask", demoModel, circle, scene, "--stream"]);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "a blue square and a purple circle\n");
  });

  it("ranks candidates for each question", () => {
    const args = ["ask", demoModel, circle, count, "what color is the circle?", "--candidates", "1, 2,purple"];
    const { stdout } = cli(args);
    const lines = stdout.trimEnd().split("\n");
    assert.deepEqual([lines.length, lines[0], lines[4]], [8, count, "what color is the circle?"]);
    assert.match(lines[1] as string, /^ {2}2 \(probability (0\.9\d\d|1\.000)\)$/);
    assert.match(lines[5] as string, /^ {2}purple \(probability (0\.9\d\d|1\.000)\)$/);
    const [{ question, candidates }] = jsonLines(args);
    assert.equal(question, count);
    const total = candidates.reduce((sum: number, { probability }: { probability: number }) => sum + probability, 0);
    assert(Math.abs(total - 1) < 1e-9);
  });

  it("captions pictures, with a prompt, and goes on where one cannot be read", () => {
    const args = ["caption", captionModel, circle, star, "--prompt", "a picture of", "--max-new-tokens", "2"];
    const captions = jsonLines([...args, "--num-beams", "2"]);
    assert.deepEqual(
      captions.map(({ image }) => image),
      [circle, star],
    );
    assert(captions.every(({ caption, score }) => caption.startsWith("a picture of ") && score > 0 && score < 1));

    const { status, stdout, stderr } = cli([...args, "none.png"]);
    assert.equal(status, 1);
    assert.match(
      stdout,
      /circle\.png a picture of .+ \(score [\d.]+\)\n.*star\.png a picture of .+ \(score [\d.]+\)\n$/,
    );
    assert.match(stderr, /^neuron-blip: .*none\.png.*\[INVALID_IMAGE\]\n$/);
  });

  it("complains once, not for each picture, of what is wrong with the options", () => {
    const { status, stderr } = cli(["caption", captionModel, circle, star, "--num-beams", "0"]);
    assert.equal(status, 2);
    assert.match(stderr, /^neuron-blip: --num-beams must be.*not 0\. \[INVALID_INPUT\]\n$/);
  });

  it("says how likely texts describe a picture", () => {
    const args = ["match", retrievalModel, star, "a star", "two circles"];
    assert.match(cli(args).stdout, /^a star \(probability 0\.\d{3}\)\ntwo circles \(probability 0\.\d{3}\)\n$/);
    const matches = jsonLines(args);
    assert.deepEqual(
      matches.map(({ image, text }) => [image, text]),
      [
        [star, "a star"],
        [star, "two circles"],
      ],
    );
    assert(matches.every(({ score, logits }) => score > 0 && score < 1 && logits.length === 2));
  });

  it("exits with 1, a sentence and a code where it fails", () => {
    for (const [args, message] of [
      [["ask", "/no/such/dir", "a.png", "what?"], /no model directory "\/no\/such\/dir".*\[ARTIFACT_NOT_FOUND\]/],
      [["ask", demoModel, "none.png", "what?"], /none\.png.*\[INVALID_IMAGE\]/],
      [["ask", demoModel, join(demo, first.picture), " "], /\[INVALID_INPUT\]/],
      [["caption", demoModel, circle], /caption needs a BlipForConditionalGeneration.*\[ARTIFACT_MISMATCH\]/],
      [["match", demoModel, circle, "a circle"], /match needs a BlipForImageTextRetrieval.*\[ARTIFACT_MISMATCH\]/],
    ] as [string[], RegExp][]) {
      const { status, stdout, stderr } = cli(args);
      assert.equal(status, 1);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at /, "a stack");
    }
  });

  it("says what to install where there is no Python to compile with", () => {
    const { status, stderr } = cli(["compile", "model", "dir"], { NEURON_BLIP_PYTHON: "/no/python" });
    assert.equal(status, 1);
    assert.match(stderr, /Install Python.*\[COMPILE_FAILED\]/);
  });

  it("says the one command that builds where the addon is missing", () => {
    const args = ["ask", demoModel, join(demo, first.picture), first.question];
    const { status, stderr } = cli(args, { NEURON_BLIP_ADDON: "/no/neuron_blip.node" });
    assert.equal(status, 1);
    assert.match(stderr, /npx neuron-blip build.*\[ADDON_NOT_BUILT\]/);
  });

  it("runs the demo: each answer with its picture, and a page that holds them all", () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-"));
    try {
      const page = join(directory, "page.html");
      const { status, stdout, stderr } = cli(["demo", "--output", page]);
      assert.equal(status, 0, stderr);
      for (const { picture, question } of questions) {
        const line = stdout.split("\n").find((text) => text.includes(picture) && text.includes(question));
        assert.match(line ?? "", /[01]\.\d{3} +\d+ ms$/);
      }
      const html = readFileSync(page, "utf8");
      assert.equal(
        html.match(/<img src="data:image\/png;base64,/g)?.length,
        new Set(questions.map((q) => q.picture)).size,
      );
      assert(questions.every(({ question }) => html.includes(question)));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
