import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlipError } from "neuron-blip";
import { readSafetensorsHeader } from "../../dist/hub/safetensors.js";
import { fails } from "../helpers.js";

describe("the header of a safetensors file", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-header-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function file(bytes: Buffer | string): string {
    const path = join(directory, "model.safetensors");
    writeFileSync(path, bytes);
    return path;
  }
  /** Of a header and so many bytes. */
  function bytesOf(header: unknown, size = 0): Buffer {
    const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, Buffer.alloc(size)]);
  }

  const whole = {
    b: { dtype: "I8", shape: [3], data_offsets: [0, 3] },
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [2, 1], data_offsets: [3, 11] },
    empty: { dtype: "BF16", shape: [0, 4], data_offsets: [11, 11] },
    scalar: { dtype: "I64", shape: [], data_offsets: [11, 19] },
  };

  it("tells each tensor's place in the file, in order, and the metadata", async () => {
    const bytes = bytesOf(`${JSON.stringify(whole)}   `, 19);
    const start = bytes.length - 19;
    const { tensors, metadata } = await readSafetensorsHeader(file(bytes));
    assert.deepEqual(
      [...tensors],
      [
        ["b", { dtype: "int8", shape: [3], offset: start, byteLength: 3 }],
        ["a", { dtype: "float32", shape: [2, 1], offset: start + 3, byteLength: 8 }],
        ["empty", { dtype: "bfloat16", shape: [0, 4], offset: start + 11, byteLength: 0 }],
        ["scalar", { dtype: "int64", shape: [], offset: start + 11, byteLength: 8 }],
      ],
    );
    assert.deepEqual(metadata, { format: "pt" });
    assert.equal((await readSafetensorsHeader(file(bytesOf("{}")))).tensors.size, 0);
  });

  it("is refused wherever the file is cut, or goes on", async () => {
    const bytes = bytesOf(whole, 19);
    for (let length = 0; length < bytes.length; length++) {
      const read = readSafetensorsHeader(file(bytes.subarray(0, length)));
      await assert.rejects(read, fails("ARTIFACT_CORRUPT", /model\.safetensors" is no whole safetensors file: /));
    }
    const longer = readSafetensorsHeader(file(Buffer.concat([bytes, Buffer.alloc(1)])));
    await assert.rejects(longer, fails("ARTIFACT_CORRUPT", /has \d+ bytes, and its header describes \d+/));
  });

  it("is refused where it says what cannot be", async () => {
    const entry = { dtype: "F32", shape: [1], data_offsets: [0, 4] };
    const next = { dtype: "F32", shape: [1], data_offsets: [4, 8] };
    for (const [header, message] of [
      ["{", /header is no JSON/],
      ["[]", /no JSON object/],
      ["\u{feff}{}", /header is no JSON/],
      [{ a: null }, /"a" is of dtype undefined/],
      [{ a: entry, b: { ...next, dtype: "f32" } }, /"b" is of dtype "f32", which the format does not have/],
      [{ a: entry, b: { ...next, dtype: "toString" } }, /"b" is of dtype "toString"/],
      [{ a: entry, b: { ...next, shape: [-1] } }, /"b" has no shape and data_offsets of whole numbers/],
      [{ a: entry, b: { ...next, shape: [0.5] } }, /"b" has no shape/],
      [{ a: entry, b: { ...next, shape: 1 } }, /"b" has no shape/],
      [{ a: entry, b: { ...next, data_offsets: [4] } }, /"b" has no shape and data_offsets/],
      [{ a: entry, b: { ...next, shape: [2] } }, /"b", F32 \[ 2 \], takes 8 bytes, and has those from 4 to 8/],
      [{ a: entry, b: { ...next, data_offsets: [8, 4] } }, /takes 4 bytes, and has those from 8 to 4/],
      [{ a: { ...entry, shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] } }, /takes NaN bytes/],
      [{ a: { ...entry, shape: [2 ** 53, 2 ** 53] } }, /"a"/],
      [{ a: entry }, /header describes/],
      [{ a: entry, b: entry }, /"b" begins at byte \d+, and what is before it ends at \d+/],
      [{ a: entry, b: { ...next, data_offsets: [3, 7] } }, /"b" begins at byte/],
      [{ a: entry, b: { ...next, data_offsets: [5, 9] } }, /"b" begins at byte/],
      [{ a: entry, b: next, __metadata__: { layers: 12 } }, /__metadata__ has 12 where a string should be/],
      [{ a: entry, b: next, __metadata__: "pt" }, /__metadata__ is no JSON object/],
    ] as const) {
      await assert.rejects(readSafetensorsHeader(file(bytesOf(header, 8))), (error) => {
        assert(error instanceof NeuronBlipError && error.message.length <= 1000);
        return fails("ARTIFACT_CORRUPT", message)(error);
      });
    }
    const invalid = bytesOf("{}");
    invalid[8] = 0xff;
    await assert.rejects(readSafetensorsHeader(file(invalid)), fails("ARTIFACT_CORRUPT", /header is no JSON/));
  });

  it("of a length beyond 4 MB, whose parsing would hold the event loop, or beyond the file is not read", async () => {
    const parsed = bytesOf(`{${" ".repeat(3_999_998)}}`);
    assert.equal((await readSafetensorsHeader(file(parsed))).tensors.size, 0);
    const long = bytesOf(`{${" ".repeat(3_999_999)}}`);
    await assert.rejects(
      readSafetensorsHeader(file(long)),
      fails("ARTIFACT_CORRUPT", /header of 4000001 bytes, and 4000000 is the most that is read/),
    );
    for (const length of [100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = bytesOf(whole, 19);
      bytes.writeBigUInt64LE(length);
      await assert.rejects(
        readSafetensorsHeader(file(bytes)),
        fails("ARTIFACT_CORRUPT", RegExp(`have ${length} bytes`)),
      );
    }
  });

  it("with a dtype that is not read here is told apart from damage", async () => {
    const bytes = bytesOf({ a: { dtype: "F8_E4M3", shape: [8], data_offsets: [0, 8] } }, 8);
    const message = /its tensor "a" is of dtype F8_E4M3\. Save it as F32, F16 or BF16/;
    await assert.rejects(readSafetensorsHeader(file(bytes)), fails("ARTIFACT_MISMATCH", message));
  });

  it("of what is no such file is an error that says what it is", async () => {
    const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    await assert.rejects(
      readSafetensorsHeader(file(lfs)),
      fails("ARTIFACT_CORRUPT", /a pointer of Git LFS.*git lfs pull/),
    );
    await assert.rejects(readSafetensorsHeader(file("")), fails("ARTIFACT_CORRUPT", /it has 0 bytes/));
    await assert.rejects(readSafetensorsHeader(directory), fails("ARTIFACT_CORRUPT", /not a file/));
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    await assert.rejects(readSafetensorsHeader(fifo), fails("ARTIFACT_CORRUPT", /not a file/));
    await assert.rejects(
      readSafetensorsHeader(join(directory, "none")),
      fails("ARTIFACT_NOT_FOUND", /no file ".*none"/),
    );
    await assert.rejects(readSafetensorsHeader(join(fifo, "none")), fails("ARTIFACT_NOT_FOUND"));
  });
});
