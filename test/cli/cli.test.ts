import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demo, demoModel, fixture, demoQuestions as questions } from "../helpers.js";
import { cli, jsonLines } from "./run.ts";

const [first] = questions as [(typeof questions)[number]];
const circle = join(demo, "pictures/square-and-circle.png");
const star = join(demo, "pictures/yellow-star.png");
const scene = "what is in the picture?";
/** Small, with random weights: what they say has no sense. */
const captionModel = fixture("parity/captions/model");
const retrievalModel = fixture("parity/retrieval/model");

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

  it("prints an answer as it is generated, as a whole line", () => {
    const { status, stdout, stderr } = cli(["ask", demoModel, circle, scene, "--stream"]);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "a blue square and a purple circle\n");
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
