// A retrieval model's compiled parts.
import assert from "node:assert/strict";
import { type Part, Tensor } from "neuron-blip";
import { CompiledMatcher } from "../../dist/blip/parts/compiled/matcher.js";
import { fails } from "../helpers.js";

describe("a compiled matcher", () => {
  /** @param rows that each part returns, whatever it is given */
  const matcherOf = (rows: number, seen: Tensor[] = []) => {
    const part: Part = {
      path: "part.pt",
      batchSizes: [2],
      forward: async ([ids]) => {
        if (ids) seen.push(ids);
        return Tensor.from(
          Float32Array.from({ length: 3 * rows }, (_, i) => i),
          [rows, 3],
        );
      },
    };
    const shapes = { batchSizes: [2], questionLength: 4, imageTokens: 5, visionHiddenSize: 6 };
    const parts = { matching: part, imageProjection: part, textProjection: part };
    return new CompiledMatcher(parts, shapes, { padTokenId: 9 });
  };
  const texts = [[1, 2], [3], [5, 6, 7]].map((ids) => ({ ids, length: ids.length, paddedLength: 3 }));

  it("fills the last batch up with its last text, and gives as many rows as there are texts", async () => {
    const seen: Tensor[] = [];
    const rows = await matcherOf(2, seen).textFeatures(texts);
    assert.deepEqual(
      rows.map((row) => [...row]),
      [
        [0, 1, 2],
        [3, 4, 5],
        [0, 1, 2],
      ],
    );
    assert.deepEqual(
      seen.map((ids) => Array.from(ids.data, Number)),
      [
        [1, 2, 9, 9, 3, 9, 9, 9],
        [5, 6, 7, 9, 5, 6, 7, 9],
      ],
    );
  });

  it("refuses a part that returns another number of rows than it was given", async () => {
    for (const rows of [1, 3]) {
      const expected = fails("ARTIFACT_MISMATCH", /returned text_features of \[\d, 3\] for 2 rows/);
      await assert.rejects(matcherOf(rows).textFeatures(texts), expected);
    }
  });
});
