import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demo, demoModel, fixture, demoQuestions as questions } from "../helpers.js";
import { cli } from "./run.ts";

const captionModel = fixture("parity/captions/model");
const star = join(demo, "pictures/yellow-star.png");
const scene = "what is in the picture?";

describe("neuron-blip batch", () => {
  let directory = "";
  let output = "";

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-batch-"));
  });
  beforeEach(() => {
    output = mkdtempSync(join(directory, "out-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  /** Writes an input of lines, which are JSON or as they are. */
  function linesFile(lines: readonly unknown[]): string {
    const file = join(directory, "x.jsonl");
    const texts = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line)));
    writeFileSync(file, `${texts.join("\n")}\n`);
    return file;
  }

  function batch(input: string, options: string[] = [], model = demoModel) {
    return cli(["batch", model, "--input", input, "--output", output, ...options]);
  }

  function results(name = "part-1-of-1.jsonl") {
    const text = readFileSync(join(output, name), "utf8");
    return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  }

  it("answers each line in its order, and gives a bad line its error", () => {
    const asked = questions.map(({ picture, question }, i) => ({
      id: `q${i}`,
      picture: join(demo, picture),
      question,
    }));
    const base64 = readFileSync(star).toString("base64");
    const input = linesFile([
      ...asked,
      { picture: { base64 }, questions: [scene, "is there a yellow circle?"], options: { numBeams: 2 } },
      { id: "gone", picture: "none.png", question: scene },
      "{",
      { id: "standing", picture: star },
      { id: "long", picture: star, question: "what ".repeat(1000) },
      { id: "beams", picture: star, options: { numBeams: 0 } },
      { id: "prompt", picture: star, options: { prompt: "a" } },
    ]);
    const { status, stderr } = batch(input, ["--question", "what do you see?"]);
    assert.equal(status, 0, stderr);
    const n = asked.length;
    assert.match(stderr, new RegExp(`is whole: ${n + 7} lines, 5 of them failed.*pictures/s`));
    const lines = results();
    for (const [i, { question, answer }] of questions.entries()) {
      const { id, answers, ...others } = lines[i];
      assert.deepEqual([id, others, answers.length, answers[0].question], [`q${i}`, {}, 1, question]);
      assert.equal(answers[0].answer, answer);
      assert(answers[0].score > 0 && answers[0].score <= 1);
    }
    const [several, gone, bad, standing, long, beams, prompt] = lines.slice(n);
    assert.equal(several.id, n + 1);
    assert.deepEqual(
      several.answers.map(({ answer }: { answer: string }) => answer),
      ["a yellow star", "no"],
    );
    assert.deepEqual([gone.id, gone.error.code], ["gone", "INVALID_IMAGE"]);
    assert.deepEqual([bad.id, bad.error.code], [n + 3, "INVALID_INPUT"]);
    assert.equal(standing.answers[0].question, "what do you see?");
    assert.deepEqual([long.id, long.error.code], ["long", "INPUT_TOO_LONG"]);
    assert.deepEqual([beams.error.code, prompt.error.code], ["INVALID_INPUT", "INVALID_INPUT"]);
    assert.deepEqual(readdirSync(output).sort(), ["part-1-of-1.json", "part-1-of-1.jsonl"]);
  });

  it("describes a directory's pictures, in shards by the Job's index, and goes on no further when it is done", () => {
    const pictures = join(directory, "pictures");
    mkdirSync(join(pictures, "more"), { recursive: true });
    for (const name of ["b.png", "a.PNG", "more/c.png"]) writeFileSync(join(pictures, name), readFileSync(star));
    writeFileSync(join(pictures, "notes.txt"), "");
    const options = ["--shard", "auto/1", "--max-new-tokens", "2", "--prompt", "a picture of"];
    const args = ["batch", captionModel, "--input", pictures, "--output", output, ...options];
    const { status, stderr } = cli(args, { JOB_COMPLETION_INDEX: "0" });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /1 files that are no pictures were left out/);
    const lines = results();
    assert.deepEqual(
      lines.map(({ id }) => id),
      ["a.PNG", "b.png", "more/c.png"],
    );
    for (const { caption, score } of lines) assert(caption.startsWith("a picture of ") && score > 0 && score <= 1);
    const again = cli(args, { JOB_COMPLETION_INDEX: "0" });
    assert.deepEqual([again.status, /was whole before/.test(again.stderr)], [0, true], again.stderr);
  });

  it("exits with 2 for what trying again cannot mend, and says what it is", () => {
    const input = linesFile([{ picture: star, question: scene }]);
    const array = join(directory, "x.json");
    writeFileSync(array, '[{"picture": "a.png"}]');
    for (const [args, message] of [
      [["batch", demoModel, "--input", input], /takes one model, --input and --output/],
      [["batch", demoModel, "--input", input, "--outptu", output], /Did you mean --output/],
      [["batch", demoModel, "--input", input, "--output", output, "--shard", "0/2"], /--shard 0\/2/],
      [["batch", demoModel, "--input", input, "--output", output, "--shard", "auto/2"], /JOB_COMPLETION_INDEX/],
      [["batch", demoModel, "--input", input, "--output", output, "--dtype", "half"], /--dtype/],
      [["batch", demoModel, "--input", join(directory, "none"), "--output", output], /cannot be read/],
      [["batch", demoModel, "--input", array, "--output", output], /no JSON Lines/],
      [["batch", demoModel, "--input", star, "--output", output], /no JSON Lines/],
      [["batch", join(directory, "none"), "--input", input, "--output", output], /ARTIFACT_NOT_FOUND/],
      [["batch", captionModel, "--input", input, "--output", output, "--question", scene], /takes no --question/],
      [["batch", fixture("parity/retrieval/model"), "--input", input, "--output", output], /matches texts/],
      [["batch", demoModel, "--input", demo, "--output", output], /--question/],
    ] as [string[], RegExp][]) {
      const { status, stderr } = cli(args, { JOB_COMPLETION_INDEX: "" });
      assert.equal(status, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, message);
    }
  });

  it("exits with 1 where the output cannot be written", () => {
    const input = linesFile([{ picture: star, question: scene }]);
    const file = join(output, "file");
    writeFileSync(file, "");
    const unwritable = cli(["batch", demoModel, "--input", input, "--output", join(file, "out")]);
    assert.equal(unwritable.status, 1, unwritable.stderr);
    assert.match(unwritable.stderr, /Cannot write into/);
  });

  it("refuses to go on with another input, and begins anew with --restart", () => {
    const [first, second] = [
      { id: "a", picture: star, question: scene },
      { id: "b", picture: star },
    ];
    assert.equal(batch(linesFile([first])).status, 0);
    const input = linesFile([first, second]);
    const refused = batch(input);
    assert.equal(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, /different input/);
    assert.equal(batch(input, ["--restart"]).status, 0);
    assert.deepEqual(
      results().map(({ id }) => id),
      ["a", "b"],
    );
  });
});
