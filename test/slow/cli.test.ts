// More of the command line; test/cli/cli.test.ts tests each command.
import assert from "node:assert/strict";
import { join } from "node:path";
import { cli, jsonLines } from "../cli/run.ts";
import { demo, demoModel, fixture, demoQuestions as questions } from "../helpers.js";

const [first] = questions as [(typeof questions)[number]];
const circle = join(demo, "pictures/square-and-circle.png");
const star = join(demo, "pictures/yellow-star.png");
const count = "how many shapes are there?";
const scene = "what is in the picture?";
const captionModel = fixture("parity/captions/model");

describe("neuron-blip on the command line", () => {
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

  it("complains once, not for each picture, of what is wrong with the options", () => {
    const { status, stderr } = cli(["caption", captionModel, circle, star, "--num-beams", "0"]);
    assert.equal(status, 2);
    assert.match(stderr, /^neuron-blip: --num-beams must be.*not 0\. \[INVALID_INPUT\]\n$/);
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
});
