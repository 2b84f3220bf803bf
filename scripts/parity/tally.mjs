// What was compared with transformers, and what was not the same.

/** By how much logits and scores may differ, times the largest where that is above 1: sums in float32. */
export const TOLERANCE = 1e-4;
/** A difference is excused where transformers' own two scores are no farther apart. */
export const EXCUSED_GAP = 1e-5;

/** Counts rows, tokens and differences. */
export class Tally {
  rows = 0;
  tokens = 0;
  excused = 0;
  /** Runs that transformers refuses, or gives no probability for. */
  leftOut = 0;
  /** The largest difference of a logit, and the same as a share of the largest logit where that is above 1. */
  logits = 0;
  logitsShare = 0;
  /** The largest difference of a score, as a share as above. */
  scores = 0;
  /** @type {string[]} */
  mismatches = [];

  /**
   * Compares logits of one step; those that a processor has ruled out are -Infinity in both.
   * @param {Float32Array} own
   * @param {Float32Array} expected
   * @param {string} where
   */
  addLogits(own, expected, where) {
    let [most, scale] = [0, 1];
    for (let i = 0; i < expected.length; i++) {
      const [mine, theirs] = [/** @type {number} */ (own[i]), /** @type {number} */ (expected[i])];
      if (mine === theirs) continue;
      const difference = Math.abs(mine - theirs);
      // Written so that NaN is a mismatch.
      if (!(difference <= most)) most = difference;
      if (Number.isFinite(theirs)) scale = Math.max(scale, Math.abs(theirs));
    }
    if (own.length !== expected.length) most = Number.POSITIVE_INFINITY;
    this.logits = Math.max(this.logits, most);
    this.logitsShare = Math.max(this.logitsShare, most / scale);
    if (!(most <= TOLERANCE * scale)) this.mismatches.push(`${where}: logits differ by ${most}, of up to ${scale}`);
  }

  /** @param {number} own @param {number} expected @param {string} where */
  addScore(own, expected, where) {
    const difference = Math.abs(own - expected) / Math.max(1, Math.abs(expected));
    this.scores = Math.max(this.scores, difference);
    if (!(difference <= TOLERANCE)) this.mismatches.push(`${where}: a score is ${own}, not ${expected}`);
  }

  /**
   * Notes other tokens than transformers'.
   * @param {number} gap of transformers' two scores
   * @param {string} where
   */
  addDifference(gap, where) {
    if (Math.abs(gap) <= EXCUSED_GAP) this.excused++;
    else this.mismatches.push(`${where}; transformers' scores are ${gap} apart`);
  }

  /** @param {Tally} other */
  add(other) {
    this.rows += other.rows;
    this.tokens += other.tokens;
    this.excused += other.excused;
    this.leftOut += other.leftOut;
    this.logits = Math.max(this.logits, other.logits);
    this.logitsShare = Math.max(this.logitsShare, other.logitsShare);
    this.scores = Math.max(this.scores, other.scores);
    this.mismatches.push(...other.mismatches);
  }

  get line() {
    const told = (/** @type {number} */ value) => value.toExponential(1);
    return (
      `${this.rows} rows, ${this.tokens} tokens, ${this.mismatches.length} mismatches, ${this.excused} excused, ` +
      `logits within ${told(this.logits)} (${told(this.logitsShare)} of the largest), scores within ${told(this.scores)}` +
      (this.leftOut > 0 ? `, ${this.leftOut} runs left out` : "")
    );
  }
}
