import assert from "node:assert/strict";
import { logSumExp } from "../../dist/generation/distribution.js";

describe("the logarithm of a sum of exponentials", () => {
  it("is that of Math.exp to 1e-11, of even scores and of far apart ones", () => {
    for (const spread of [0, 0.01, 1, 30, 1000]) {
      const scores = Float32Array.from({ length: 30_524 }, (_, i) => 5 + Math.sin(i * i) * spread);
      const highest = scores.reduce((one, other) => Math.max(one, other));
      const sum = scores.reduce((total, score) => total + Math.exp(score - highest), 0);
      assert(Math.abs(logSumExp(scores) - (highest + Math.log(sum))) < 1e-11, `spread ${spread}`);
    }
  });

  it("takes all scores that are far below the highest, which add nothing", () => {
    for (let score = -40; score > -60; score -= 1 / 128) assert.equal(logSumExp(Float32Array.of(0, score)), 0);
  });

  it("leaves out tokens that are forbidden", () => {
    assert.equal(logSumExp(Float32Array.of(Number.NEGATIVE_INFINITY, 3, Number.NEGATIVE_INFINITY)), 3);
  });

  it("refuses scores that are no numbers, and those that forbid every token", () => {
    for (const scores of [[1, Number.NaN], [Number.NaN], [Number.POSITIVE_INFINITY, 0]]) {
      assert.throws(() => logSumExp(Float32Array.from(scores)), { code: "EXECUTION_FAILED", message: /not numbers/ });
    }
    const none = Float32Array.of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY);
    assert.throws(() => logSumExp(none), { code: "EXECUTION_FAILED", message: /No token can come next/ });
  });
});
