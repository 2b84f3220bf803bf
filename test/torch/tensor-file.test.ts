import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Executor, type Tensor, type TorchOutput } from "neuron-blip";
import { openTensors, type TensorEntry } from "../../dist/torch/tensor-file.js";
import { TorchFunctions, type TorchValue } from "../../dist/torch/torch-functions.js";
import { fails } from "../helpers.js";
import { mappingsOf } from "./mappings.js";

const SOURCE = `
def given(w: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return w

def total(w: Dict[str, Tensor]) -> float:
    total = 0.0
    for tensor in w.values():
        total += float(tensor.sum())
    return total

def fill(w: Dict[str, Tensor], value: float) -> float:
    for tensor in w.values():
        tensor.fill_(value)
    return value

def laid_out_anew(w: Dict[str, Tensor]) -> Dict[str, Tensor]:
    anew: Dict[str, Tensor] = {}
    for name in list(w.keys()):
        anew[name] = w.pop(name).t().contiguous()
    return anew
`;

/** As many float32 as fill a megabyte. */
const MEGABYTE = 2 ** 18;

describe("tensors over a file", () => {
  let directory: string;
  let executor: Executor;
  let functions: TorchFunctions;
  let made = 0;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-tensor-file-"));
    executor = new Executor({ threads: 1 });
    functions = await TorchFunctions.compile(SOURCE, { executor, name: "source" });
  });
  after(async () => {
    await functions.dispose();
    await executor.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function file(bytes: Uint8Array, mode = 0o644): string {
    const path = join(directory, `weights-${made++}`);
    writeFileSync(path, bytes);
    chmodSync(path, mode);
    return path;
  }
  const open = (path: string, entries: readonly TensorEntry[]) => openTensors(path, entries, { executor });
  /** Of ones, in tensors of a megabyte each. */
  const megabytes = (count: number) => new Uint8Array(new Float32Array(count * MEGABYTE).fill(1).buffer);
  const entries = (count: number): TensorEntry[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `t${i}`,
      dtype: "float32",
      shape: [512, 512],
      offset: i * 4 * MEGABYTE,
    }));
  const total = (tensors: TorchValue): Promise<TorchOutput> => functions.call("total", [tensors]);

  it("are what the bytes are, wherever they begin", async () => {
    const bytes = Buffer.alloc(64);
    bytes.writeFloatLE(1.5, 1);
    bytes.writeFloatLE(-2, 5);
    bytes.writeFloatLE(7, 12);
    bytes.writeBigInt64LE(-3n, 23);
    bytes.writeUInt8(1, 63);
    const path = file(bytes);
    await using tensors = await open(path, [
      { name: "unaligned", dtype: "float32", shape: [2, 1], offset: 1 },
      { name: "aligned", dtype: "float32", shape: [1], offset: 12 },
      { name: "whole", dtype: "int64", shape: [], offset: 23 },
      { name: "last", dtype: "bool", shape: [1], offset: 63 },
      { name: "none", dtype: "float16", shape: [0, 7], offset: 64 },
    ]);
    const given = (await functions.call("given", [tensors])) as Record<string, Tensor>;
    const shown = Object.entries(given).map(([name, { dtype, shape, data }]) => [name, dtype, shape, [...data]]);
    assert.deepEqual(shown, [
      ["unaligned", "float32", [2, 1], [1.5, -2]],
      ["aligned", "float32", [1], [7]],
      ["whole", "int64", [], [-3n]],
      ["last", "bool", [1], [1]],
      ["none", "float16", [0, 7], []],
    ]);
  });

  it("are mapped, and what is written to them never reaches the file", async () => {
    const path = file(megabytes(2));
    await using tensors = await open(path, entries(2));
    assert.equal(mappingsOf(path).length, 1);
    assert.equal(await total(tensors), 2 * MEGABYTE);
    await functions.call("fill", [tensors, 3]);
    assert.equal(await total(tensors), 6 * MEGABYTE);
    assert(readFileSync(path).equals(megabytes(2)));
  });

  it("are read instead where others may write to the file", async () => {
    const others: string[] = [file(megabytes(1), 0o646), file(megabytes(1), 0o666)];
    if (process.getuid?.() === 0) {
      others.push(file(megabytes(1)), file(megabytes(1), 0o664));
      chownSync(others[2] as string, 12345, 0);
      chownSync(others[3] as string, 0, 12345);
    }
    for (const path of others) {
      await using tensors = await open(path, entries(1));
      assert.deepEqual(mappingsOf(path), []);
      assert.equal(await total(tensors), MEGABYTE);
      truncateSync(path);
      assert.equal(await total(tensors), MEGABYTE);
    }
  });

  it("let their pages go with their last reference", async () => {
    const path = file(megabytes(16));
    await using tensors = await open(path, entries(16));
    assert.equal(await total(tensors), 16 * MEGABYTE);
    const before = mappingsOf(path)[0]?.rss ?? 0;
    assert(before >= 15 * 2 ** 20, String(before));
    await using anew = await functions.keep("laid_out_anew", [tensors]);
    // Of each no more than the pages at its ends, which are its neighbours', too.
    assert((mappingsOf(path)[0]?.rss ?? 0) <= 2 ** 20);
    assert.equal(await total(anew), 16 * MEGABYTE);
    assert.equal(await total(tensors), 0);
  });

  it("share their pages with another process", async () => {
    const path = file(megabytes(8));
    await using tensors = await open(path, entries(8));
    assert.equal(await total(tensors), 8 * MEGABYTE);
    const other = spawn(
      process.execPath,
      [fileURLToPath(new URL("../children/tensor-file.mjs", import.meta.url)), path, String(MEGABYTE * 8)],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const said = await new Promise((resolve) => other.stdout.once("data", (text) => resolve(String(text))));
    assert.equal(said, "read\n");
    const [mapping] = mappingsOf(path);
    other.stdin.end();
    await new Promise((resolve) => other.once("close", resolve));
    assert((mapping?.shared ?? 0) >= 7 * 2 ** 20, JSON.stringify(mapping));
    assert.equal(mapping?.own, 0);
  });

  it("leave nothing behind, opened and disposed of 100 times", () => {
    const path = file(megabytes(4));
    const child = fileURLToPath(new URL("../children/tensor-file-cycles.mjs", import.meta.url));
    // As many before: a sanitised build keeps 256 MB of what was freed.
    const printed = execFileSync(process.execPath, [child, path, "4", "200"], { encoding: "utf8" });
    const { totals, before, after } = JSON.parse(printed);
    assert.deepEqual(totals, [4 * MEGABYTE]);
    assert.equal(after.ofFile, 0);
    // 400 MB were laid out anew.
    assert(after.mappings - before.mappings < 20, printed);
    assert(after.rss - before.rss < 40 * 2 ** 20, printed);
  });

  it("stay when the file is replaced or removed", async () => {
    const path = file(megabytes(1));
    await using tensors = await open(path, entries(1));
    rmSync(path);
    writeFileSync(path, "another");
    assert.equal(await total(tensors), MEGABYTE);
  });

  it("of a file that cannot be used are errors, and the next is read", async () => {
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    const whole = file(megabytes(1));
    const one = { name: "t", dtype: "float32", shape: [2], offset: 0 } as const;
    for (const [path, entry, code, message] of [
      [join(directory, "none"), one, "ARTIFACT_NOT_FOUND", /There is no file ".*none"/],
      [join(whole, "none"), one, "ARTIFACT_NOT_FOUND", /There is no file/],
      [directory, one, "ARTIFACT_CORRUPT", /not a file/],
      [fifo, one, "ARTIFACT_CORRUPT", /not a file/],
      ["/dev/zero", one, "ARTIFACT_CORRUPT", /not a file/],
      [file(Buffer.alloc(0)), one, "ARTIFACT_CORRUPT", /it has 0 bytes, and "t" takes 8 from 0 on/],
      [file(Buffer.alloc(7)), one, "ARTIFACT_CORRUPT", /it has 7 bytes/],
      [file(Buffer.alloc(7), 0o666), one, "ARTIFACT_CORRUPT", /it has 7 bytes/],
      [whole, { ...one, offset: 2 ** 20 - 7 }, "ARTIFACT_CORRUPT", /takes 8 from 1048569 on/],
      [whole, { ...one, offset: 2 ** 53 - 1 }, "ARTIFACT_CORRUPT", /takes 8 from/],
      [whole, { ...one, offset: -4 }, "INVALID_INPUT", /impossible/],
      [whole, { ...one, shape: [-1] }, "INVALID_INPUT", /impossible/],
      [whole, { ...one, shape: [2 ** 53, 2 ** 53] }, "INVALID_INPUT", /impossible/],
      [whole, { ...one, shape: [2 ** 40] }, "ARTIFACT_CORRUPT", /it has 1048576 bytes/],
      [whole, { ...one, dtype: "float4" as never }, "INVALID_INPUT", /Unknown dtype "float4"/],
    ] as const) {
      await assert.rejects(open(path, [entry]), fails(code, message));
    }
    await using tensors = await open(whole, [one]);
    assert.equal(await total(tensors), 2);
  });
});
