import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const demo = fileURLToPath(new URL("../demo", import.meta.url));
const questions: { picture: string; question: string; answer: string }[] = JSON.parse(
  readFileSync(join(demo, "questions.json"), "utf8"),
);
const [first] = questions as [(typeof questions)[number]];

/** Runs the command line. */
function cli(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
}

describe("neuron-blip on the command line", () => {
  it("lists its commands, and each command its options", () => {
    for (const args of [["--help"], ["ask", "--help"], ["demo", "-h"], ["build", "--help"]]) {
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
    ] as [string[], RegExp][]) {
      const { status, stdout, stderr } = cli(args);
      assert.equal(status, 2, stderr);
      assert.match(stdout + stderr, message);
    }
  });

  it("answers questions about a picture, in words and as JSON", () => {
    const args = ["ask", join(demo, "model"), join(demo, first.picture), first.question];
    const words = cli(args);
    assert.equal(words.status, 0, words.stderr);
    assert.match(words.stdout, new RegExp(`${first.answer} \\(score [01]\\.\\d{3}\\)\\n$`));

    const json = cli([...args, first.question, "--json"]);
    const answers = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      answers.map(({ question, answer }) => [question, answer]),
      [
        [first.question, first.answer],
        [first.question, first.answer],
      ],
    );
    assert(answers.every(({ score }) => score > 0 && score <= 1));
  });

  it("exits with 1, a sentence and a code where it fails", () => {
    for (const [args, message] of [
      [["ask", "/no/such/dir", "a.png", "what?"], /no model directory "\/no\/such\/dir".*\[ARTIFACT_NOT_FOUND\]/],
      [["ask", join(demo, "model"), "none.png", "what?"], /none\.png.*\[INVALID_IMAGE\]/],
      [["ask", join(demo, "model"), join(demo, first.picture), " "], /\[INVALID_INPUT\]/],
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
    const args = ["ask", join(demo, "model"), join(demo, first.picture), first.question];
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
