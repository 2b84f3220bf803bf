// How far a transfer is, on a terminal.
import assert from "node:assert/strict";
import { inBytes, ProgressBar } from "../../dist/hub/progress-bar.js";

const MB = 1_000_000;

function shownOn(
  columns: number | undefined,
  steps: readonly (readonly [ms: number, loaded: number])[],
  total: number,
) {
  let at = 0;
  let text = "";
  const terminal = {
    isTTY: true,
    ...(columns !== undefined && { columns }),
    write: (piece: string) => {
      text += piece;
    },
  };
  const bar = new ProgressBar(terminal, () => at);
  for (const [ms, loaded] of steps) {
    at = ms;
    bar.update({ model: "owner/blip", file: "model.safetensors", loaded, total });
  }
  bar.end();
  return { text, lines: text.split("\r").map((line) => line.replace("\x1b[K", "").trimEnd()) };
}

describe("the progress bar", () => {
  it("shows the model, the file, the part that is here, the speed and the time left, in one line that is written over", () => {
    const { text, lines } = shownOn(
      120,
      [
        [0, 0],
        [1000, 100 * MB],
        [2000, 200 * MB],
        [10_000, 1000 * MB],
      ],
      1000 * MB,
    );
    assert.match(lines[1] ?? "", /^owner\/blip {2}model\.safetensors {2}\[ +\] +0 % {2}0 B of 1\.00 GB$/);
    assert.match(lines[3] ?? "", /\[={6} {24}\] +20 % {2}200 MB of 1\.00 GB {2}100 MB\/s {2}0:08 left$/);
    assert.match(lines[4] ?? "", /\[={30}\] +100 % {2}1\.00 GB of 1\.00 GB {2}100 MB\/s {2}0:00 left$/);
    assert.equal(text.split("\n").length, 2);
    assert(text.endsWith("\n"));
  });

  it("does not take what an earlier attempt has left for speed", () => {
    const { lines } = shownOn(
      120,
      [
        [0, 900 * MB],
        [1000, 901 * MB],
      ],
      1000 * MB,
    );
    assert.match(lines[2] ?? "", /1\.00 MB\/s {2}1:39 left$/);
  });

  it("never wraps, however few columns there are", () => {
    for (const columns of [undefined, 0, 1, 20, 40, 60, 80, 200]) {
      for (const line of shownOn(
        columns,
        [
          [0, 0],
          [1000, 5 * MB],
          [7_200_000, 6 * MB],
        ],
        4e9,
      ).lines) {
        assert(line.length < (columns || 80), `${columns}: ${line}`);
      }
    }
  });

  it("writes nothing where nothing is fetched", () => {
    assert.equal(shownOn(80, [], 0).text, "");
  });

  it("speaks of bytes in three figures", () => {
    const sizes = [0, 999, 1000, 23_456, 999_600, 1_540_000_000, 5e12].map(inBytes);
    assert.deepEqual(sizes, ["0 B", "999 B", "1.00 kB", "23.5 kB", "1.00 MB", "1.54 GB", "5.00 TB"]);
  });
});
