// Figures in words.

/** @param {number} value */
export function figure(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1
        ? value.toFixed(2)
        : value.toFixed(3);
}

/** @param {import("./bars.mjs").Bar} bar */
export function barWords({ what, sign, bar, unit, value, low, high, met }) {
  const suffix = unit === "" ? "" : ` ${unit}`;
  const range = low === high ? "" : `${figure(low)} to ${figure(high)}`;
  return [what, `${sign} ${bar}${suffix}`, `${figure(value)}${suffix}`, range, met ? "met" : "NOT MET"];
}

/** @param {import("./limits.mjs").Share} share */
export function shareWords({ task, competitor, ms, limitMs, share }) {
  return [task, competitor, `${figure(ms)} ms`, `${figure(limitMs)} ms`, `${(100 * share).toFixed(0)} %`];
}

/**
 * Columns of text, each as wide as it must be.
 * @param {readonly (readonly string[])[]} rows
 */
export function columns(rows) {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export const TITLES = /** @type {Record<string, string>} */ ({
  whole: "One picture, one question",
  next: "The next question on the same picture",
  eight: "Eight at a time",
  limits: "The machine's limits",
  stages: "Stages alone",
  batches: "Batch sizes",
  preprocessing: "Pictures to pixel values",
  callers: "Concurrent callers",
  start: "From the start of a process to its first answer",
  memory: "Memory (RSS) of a process",
  delay: "Delay of the event loop under load",
});

export const NOTES = /** @type {Record<string, string>} */ ({
  whole: "From a JPEG file of 640 x 480 to three tokens; every call has another picture, which nobody has kept.",
  next: "Ours was asked two questions about the picture before. The tutorial's pipeline keeps nothing: it begins anew.",
  eight: "In one call of ours, however many runs that takes; the tutorial's pipeline answers one after another.",
  limits:
    "By torch's own operators, the best of several sizes and calls in each round, before all else and after it. The linears of a decoder step are one row through " +
    "int8 weights that are read from memory.",
  stages: "Each by itself with inputs that are at hand. A decoder step is one more token of one answer.",
  batches: "Time for each picture or question, when so many go together.",
  preprocessing: "Reading and decoding the file, resizing to 384 x 384 and normalising; another file with every round.",
  callers: "Each caller asks its next question when it has its answer; answers per second of all together.",
  start:
    "Each time in a fresh process; the system had the files in memory. The peers in Python import torch and transformers, whose " +
    "processors they use. The peak of RSS counts mapped files as far as they were read.",
  memory: "After twelve answers. Replicas share the weights; each has its own working memory.",
  delay: "Four callers, every other picture of 12 megapixels. What lies beyond the timer's own 1 ms.",
});

export const LIMITS_NOTE =
  "What is multiplied at the best rate of the competitor's number type, and weights read once, or once a token, at the best rate of " +
  "memory: the longer of the two for each stage, and nothing else. The best of all rounds count.";
