// `neuron-blip compare`: what a number type changes in a checkpoint's answers.
import assert from "node:assert/strict";
import { fixture } from "../helpers.js";
import { cli, jsonLines } from "./run.js";

const answering = fixture("parity/checkpoint/model");
const captioning = fixture("parity/captions-checkpoint/model");
const retrieving = fixture("parity/retrieval-checkpoint/model");
const pictures = [fixture("pictures/chelsea.png"), fixture("pictures/coffee.png")];
const asked = [...pictures, "--question", "how many cats are there?", "--question", "what is it?"];

interface Compared {
  readonly dtype: string;
  readonly texts: number;
  readonly agreement: number;
  readonly changes: readonly { readonly before: string; readonly after: string }[];
  readonly msOfPicture: number;
}

describe("neuron-blip compare", () => {
  it("counts how many answers another number type leaves as they are, and lists the others", () => {
    const lines = jsonLines(["compare", answering, ...asked]) as Compared[];
    assert.deepEqual(
      lines.map(({ dtype, texts }) => [dtype, texts]),
      [
        ["float32", 4],
        ["bfloat16", 4],
        ["int8", 4],
      ],
    );
    for (const { texts, agreement, changes, msOfPicture } of lines) {
      assert.equal(agreement, 1 - changes.length / texts);
      assert(msOfPicture > 0);
    }
    assert.equal(lines[0]?.agreement, 1);
  });

  it("says it in words, and fails below --least", () => {
    const { status, stdout, stderr } = cli(["compare", answering, ...asked, "--dtype", "int8", "--least", "0"]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^float32 +4 texts; \d+ ms a picture, \d+ ms for its answers\nint8 +[0-4] of 4 the same \(/);
    const [, int8] = jsonLines(["compare", answering, ...asked, "--dtype", "int8"]) as Compared[];
    const least = cli(["compare", answering, ...asked, "--dtype", "int8", "--least", "1"]);
    assert.equal(least.status, int8?.agreement === 1 ? 0 : 1);
  });

  it("compares captions, and a directory's pictures", () => {
    const [, bfloat16] = jsonLines(["compare", captioning, fixture("pictures"), "--dtype", "bfloat16"]) as Compared[];
    assert((bfloat16?.texts ?? 0) > 1);
  });

  it("says what it cannot compare", () => {
    for (const [args, status, message] of [
      [["compare", answering], 2, /at least one picture/],
      [["compare", answering, ...asked, "--dtype", "float16"], 2, /bfloat16 or int8, not "float16"/],
      [["compare", answering, ...asked, "--least", "2"], 2, /from 0 to 1, not "2"/],
      [["compare", answering, fixture("parity")], 2, /no pictures in/],
      [["compare", answering, ...pictures], 1, /give at least one/],
      [["compare", captioning, ...asked], 1, /takes no questions/],
      [["compare", retrieving, ...asked], 1, /answers and captions/],
      [["compare", fixture("parity/small-batch-2/model"), ...asked], 1, /dtype is for checkpoints/],
    ] as [string[], number, RegExp][]) {
      const result = cli(args);
      assert.match(result.stderr, message);
      assert.equal(result.status, status, result.stderr);
    }
  });
});
