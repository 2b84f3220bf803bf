// Which rows of the keys and values each text of a decoder's call goes on from and looks at.
import assert from "node:assert/strict";
import { Tensor, type TextDecoderCached } from "neuron-blip";
import { type LoadedReplica, loadReplica, releaseReplica } from "../../dist/blip/load-replicas.js";
import { fails, fixture } from "../helpers.js";

const INPUTS = 3;

const int64 = (values: readonly number[], shape = [values.length]) =>
  Tensor.from(BigInt64Array.from(values, BigInt), shape);
const differ = (rows: readonly Float32Array[]) => rows.some((row) => row.some((x, i) => x !== rows[0]?.[i]));

describe("rows of a decoder's call", () => {
  let replica: LoadedReplica;
  let decoder: TextDecoderCached;
  before(async () => {
    replica = await loadReplica(fixture("parity/checkpoint/model"), "BlipForQuestionAnswering", { threads: 1 });
    assert(replica.kind === "checkpoint");
    decoder = replica.textDecoder();
  });
  after(() => releaseReplica(replica));

  /** What inputs of so many tokens are to the decoder. */
  async function inputsOf(length: number) {
    const width = replica.config.textHiddenSize;
    const states = Float32Array.from({ length: INPUTS * length * width }, (_, i) => 2 * Math.sin(i * i + i));
    const keysValues = await decoder.encoderKeysValues(Tensor.from(states, [INPUTS, length, width]));
    const mask = int64(
      Array.from({ length: INPUTS * length }, (_, i) => (i % length < length - Math.floor(i / length) ? 1 : 0)),
      [INPUTS, length],
    );
    return { encoderKeysValues: keysValues, encoderAttentionMask: mask };
  }

  /** The logits of each text's second token, where it looks at those inputs. */
  async function logitsOf(inputs: Awaited<ReturnType<typeof inputsOf>>, rows: readonly number[], parents: number[]) {
    const ids = (values: number[]) => int64(values, [values.length, 1]);
    const first = await decoder.forward({
      ...inputs,
      inputIds: ids(rows.map((row) => 10 + row)),
      pastKeysValues: decoder.emptyPast,
      parents: int64(rows.map(() => 0)),
      encoderRows: int64(rows),
    });
    const { logits } = await decoder.forward({
      ...inputs,
      inputIds: ids(parents.map(() => 30)),
      pastKeysValues: first.presentKeysValues,
      parents: int64(parents),
      encoderRows: int64(parents.map((parent) => rows[parent] ?? -1)),
    });
    const [, width = 0] = logits.shape;
    return parents.map((_, i) => logits.data.slice(i * width, (i + 1) * width));
  }

  for (const [what, length] of [
    ["few tokens, as a question", 9],
    ["many tokens, as a picture", 90],
  ] as const) {
    for (const [how, rows, parents] of [
      ["each its own", [0, 1, 2], [0, 1, 2]],
      ["some more than once, some not", [2, 0, 2, 2], [3, 1, 1, 0]],
      ["in another order", [2, 1, 0], [1, 2, 0]],
      ["all the same", [1, 1], [1, 0]],
      ["fewer than there are", [0, 2], [1]],
    ] as const) {
      it(`are those that were asked for, of inputs of ${what}: ${how}`, async () => {
        const inputs = await inputsOf(length);
        const together = await logitsOf(inputs, rows, [...parents]);
        const alone = await Promise.all(
          parents.map((parent) => logitsOf(inputs, [rows[parent] ?? -1], [0]).then(([logits]) => logits)),
        );
        for (const [i, logits] of together.entries()) {
          for (const [j, x] of logits.entries()) {
            assert(
              Math.abs(x - (alone[i]?.[j] ?? Number.NaN)) < 1e-4,
              `text ${i}, token ${j}: ${x}, alone ${alone[i]?.[j]}`,
            );
          }
        }
        if (new Set(parents.map((parent) => rows[parent])).size > 1)
          assert(differ(together), "all rows came out equal");
      });
    }

    it(`are refused where there are none, of inputs of ${what}`, async () => {
      const inputs = await inputsOf(length);
      for (const row of [INPUTS, -1]) await assert.rejects(logitsOf(inputs, [row], [0]), fails("EXECUTION_FAILED"));
      for (const parent of [1, -1]) await assert.rejects(logitsOf(inputs, [0], [parent]), fails("EXECUTION_FAILED"));
    });
  }
});
