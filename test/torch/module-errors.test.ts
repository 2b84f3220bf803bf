import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { NeuronBlipError, type NeuronBlipErrorCode, Tensor, type TorchInput, TorchModule } from "neuron-blip";
import { fails, fixture } from "../helpers.js";
import { readZip, writeZip, type ZipRecord } from "./zip.js";

const x = Tensor.from(Float32Array.of(1, 2), [2]);

/** As `fails`, of a message that is one line of at most 1,000 characters. */
function failsInALine(code: NeuronBlipErrorCode, message: RegExp) {
  return (error: unknown) => {
    assert(error instanceof NeuronBlipError);
    assert(error.message.length <= 1000 && !error.message.includes("\n"), error.message);
    return fails(code, message)(error);
  };
}

describe("a module's outputs", () => {
  it("that nest without end, or too deep, or are too many, are errors, and the next call works", async () => {
    await using module = await TorchModule.load(fixture("modules/nested.pt"));
    const refused = (method: string, inputs: TorchInput[], message: RegExp) =>
      assert.rejects(module.call(method, inputs), failsInALine("EXECUTION_FAILED", message));
    const nested = /nested more than 64 deep, or that hold themselves/;
    await refused("circle", [], nested);
    await refused("circle_of_dicts", [], nested);
    await refused("forward", [65], nested);
    // Freed by the stack, so many would overflow it.
    await refused("forward", [200_000], nested);
    await refused("doubled", [], /more than 100000 values/);
    await refused("many", [100_000], /more than 100000 values/);
    assert.equal(((await module.call("many", [99_999])) as number[]).at(-1), 99_998);
    let depth = 0;
    for (let value = await module.forward([64]); Array.isArray(value); value = value[0] ?? null) depth++;
    assert.equal(depth, 65);
  });
});

describe("what libtorch says", () => {
  it("of an assert is told with every line", async () => {
    await using module = await TorchModule.load(fixture("modules/asserts.pt"));
    const told = /failed: AssertionError: the first line the second: with a colon and a third$/;
    await assert.rejects(module.forward([x]), failsInALine("EXECUTION_FAILED", told));
  });

  it("of an operator that wants CUDA is told as a module that was traced on a GPU", async () => {
    await using module = await TorchModule.load(fixture("modules/ongpu.pt"));
    const told = /ongpu\.pt" failed: an operator wants CUDA.*it was traced on a GPU: trace it on the CPU/;
    await assert.rejects(module.forward([x]), failsInALine("EXECUTION_FAILED", told));
    await assert.rejects(module.call("moves", [x]), failsInALine("EXECUTION_FAILED", told));
  });

  it("of an operator that it does not have is not told as damage", async () => {
    const load = TorchModule.load(fixture("modules/missingoperator.pt"));
    const told = /missingoperator\.pt" cannot be run: this libtorch has no torchvision::nms \(it is \d/;
    await assert.rejects(load, failsInALine("ARTIFACT_MISMATCH", told));
  });
});

describe("a file that is no TorchScript", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "neuron-blip-"));
  });
  after(() => rm(directory, { recursive: true }));

  async function written(name: string, content: Uint8Array | string): Promise<string> {
    await writeFile(join(directory, name), content);
    return join(directory, name);
  }

  it("of torch's other formats is told by what it is, with what to do", async () => {
    for (const [name, message] of [
      ["state_dict.pth", /holds weights alone \(a state_dict.*torch\.jit\.trace.*npx neuron-blip compile/],
      ["checkpoint.pth", /holds weights alone \(a state_dict/],
      ["legacy_state_dict.pth", /holds weights alone \(a state_dict/],
      ["module.pth", /Python objects \(a whole model.*torch\.jit\.trace/],
      ["exported.pt2", /an exported program.*torch\.jit\.trace instead of torch\.export/],
    ] as const) {
      const path = fixture(`modules/foreign/${name}`);
      await assert.rejects(TorchModule.load(path), failsInALine("ARTIFACT_MISMATCH", message));
    }
  });

  it("of others' formats, or none, is told by what it is", async () => {
    const whole = await readFile(fixture("modules/outputs.pt"));
    const header = Buffer.from('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const tar = Buffer.alloc(1024);
    tar.write("model.pt");
    tar.write("ustar", 257);
    const note = { name: "a/note.txt", content: Buffer.from("hello") };
    for (const [name, content, code, message] of [
      ["empty.pt", "", "ARTIFACT_CORRUPT", /is empty/],
      [
        "lfs.pt",
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
        "ARTIFACT_CORRUPT",
        /git lfs pull/,
      ],
      ["page.pt", "\n<!doctype html><title>Sign in</title>", "ARTIFACT_CORRUPT", /a web page/],
      ["cut.pt", whole.subarray(0, 1500), "ARTIFACT_CORRUPT", /is cut short/],
      ["text.pt", "hello", "ARTIFACT_CORRUPT", /could not be loaded as a TorchScript module/],
      ["m.safetensors", Buffer.concat([length, header, length]), "ARTIFACT_MISMATCH", /a safetensors file/],
      ["m.onnx", Buffer.from("080812077079746f726368", "hex"), "ARTIFACT_MISMATCH", /an ONNX model/],
      ["m.gguf", "GGUF\x03\0\0\0", "ARTIFACT_MISMATCH", /a GGUF file/],
      ["m.pt.gz", Buffer.from([0x1f, 0x8b, 8, 0]), "ARTIFACT_MISMATCH", /is compressed/],
      ["m.tar", tar, "ARTIFACT_MISMATCH", /is compressed/],
      ["m.zip", writeZip([note]), "ARTIFACT_MISMATCH", /a ZIP archive, but none that torch\.jit\.save wrote/],
    ] as const) {
      const path = await written(name, content);
      await assert.rejects(TorchModule.load(path), failsInALine(code, message));
    }
  });

  it("has a message of a line, however long its path is", async () => {
    let deep = directory;
    while (deep.length < 3000) deep = join(deep, "d".repeat(200));
    await mkdir(deep, { recursive: true });
    const path = join(deep, "state_dict.pth");
    await copyFile(fixture("modules/foreign/state_dict.pth"), path);
    await assert.rejects(TorchModule.load(path), failsInALine("ARTIFACT_MISMATCH", /state_dict\.pth" holds weights/));
  });
});

describe("a TorchScript file that is damaged", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "neuron-blip-"));
  });
  after(() => rm(directory, { recursive: true }));

  async function load(bytes: Uint8Array): Promise<void> {
    const path = join(directory, "damaged.pt");
    await writeFile(path, bytes);
    await (await TorchModule.load(path)).dispose();
  }

  it("is refused before libtorch reads it, whichever record the damage is in", async () => {
    const whole = await readFile(fixture("modules/resnet.pt"));
    const records = readZip(whole);
    assert(records.length > 20);
    for (const { name, offset, content } of records.filter(({ content }) => content.length > 0)) {
      const damaged = Buffer.from(whole);
      const at = offset + Math.floor(content.length / 2);
      damaged[at] = (damaged[at] as number) ^ 1;
      const read = load(damaged);
      // libtorch reads none of these, or no further than it must.
      if (/\/(\.data\/serialization_id|byteorder|version|traced_inputs\.pkl)$/.test(name))
        await read.catch(fails("ARTIFACT_CORRUPT"));
      else await assert.rejects(read, failsInALine("ARTIFACT_CORRUPT", /Write it again.*checksum \(CRC-32\)/), name);
    }
    await load(whole);
  });

  it("is refused where its compressed records are damaged, and read where they are whole", async () => {
    const records = readZip(await readFile(fixture("modules/resnet.pt")));
    const compressed = (change?: (record: ZipRecord) => ZipRecord) =>
      writeZip(
        records.map((record) => {
          const packed = { ...record, compressed: deflateRawSync(record.content) };
          return record.name.endsWith("__torch__.py") && change ? change(packed) : packed;
        }),
      );
    await load(compressed());
    const other = (content: Buffer) => Buffer.from(content.toString().replace("relu", "tanh"));
    const swapped = compressed((record) => ({ ...record, compressed: deflateRawSync(other(record.content)) }));
    await assert.rejects(load(swapped), failsInALine("ARTIFACT_CORRUPT", /__torch__\.py.*checksum/));
    const cut = compressed((record) => ({ ...record, compressed: deflateRawSync(record.content).subarray(0, 40) }));
    await assert.rejects(load(cut), failsInALine("ARTIFACT_CORRUPT", /Write it again/));
  });

  it("is refused where its directory lies about sizes, places and names", async () => {
    const records = readZip(await readFile(fixture("modules/resnet.pt")));
    const written = (change: (record: ZipRecord) => Partial<ZipRecord>) =>
      writeZip(records.map((record) => (record.name.endsWith("/data/0") ? { ...record, ...change(record) } : record)));
    for (const [change, message] of [
      [{ size: 2 ** 31 }, /does not have the size/],
      [{ size: 2 ** 31, storedSize: 2 ** 31 }, /is cut short/],
      [{ storedSize: 20_000, size: 20_000 }, /overlap/],
      [{ header: 0xfffffff0 }, /cut short/],
      [{ header: 3 }, /is not where the directory says/],
      [{ directoryName: "resnet/data/X" }, /another name in its own header/],
      [{ method: 12 }, /packed otherwise/],
      [{ compressed: Buffer.alloc(64), size: 2 ** 31 }, /does not have the size/],
    ] as const) {
      await assert.rejects(load(written(() => change)), failsInALine("ARTIFACT_CORRUPT", message));
    }
  });

  it("is read where other programs have written the archive anew", async () => {
    // Written without torch's padding, and with a comment at its end.
    await load(writeZip(readZip(await readFile(fixture("modules/resnet.pt"))), "a comment"));
  });
});
