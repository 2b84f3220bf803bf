import { type FileHandle, open } from "node:fs/promises";
import type { ForeignKind } from "./module-advice.js";
import { type ExecutorHandle, native } from "./native.js";

const HEAD = 1024;
/** Of data.pkl: the names of what is pickled stand near its beginning. */
const LONGEST_PICKLE = 1 << 20;

const ZIP = Buffer.from("PK\x03\x04", "latin1");
/** torch.save's magic number, pickled, before version 1.6. */
const LEGACY = Buffer.from("8a0a6cfc9c46f9206aa85019", "hex");

/** By how files begin. */
const BEGINNINGS: readonly (readonly [Buffer, ForeignKind])[] = [
  [Buffer.from("version https://git-lfs"), "lfs-pointer"],
  [Buffer.from("GGUF"), "gguf"],
  [Buffer.from("\x89HDF\r\n", "latin1"), "hdf5"],
  [Buffer.from([0x1f, 0x8b]), "compressed"],
  [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), "compressed"],
  [Buffer.from("\xfd7zXZ", "latin1"), "compressed"],
  [Buffer.from("BZh"), "compressed"],
  [Buffer.from("7z\xbc\xaf", "latin1"), "compressed"],
];

/**
 * Tells what a file is instead of a TorchScript module.
 * @returns undefined for one that torch.jit.save wrote, however damaged.
 */
export async function foreignKindOf(executor: ExecutorHandle, path: string): Promise<ForeignKind | undefined> {
  const file = await open(path);
  try {
    const head = await readAt(file, 0, HEAD);
    if (!head.subarray(0, 4).equals(ZIP)) return kindOfHead(head, (await file.stat()).size, path);
    const records = await native()
      .listRecords(executor, path)
      .catch(() => undefined);
    // Damaged, which is told otherwise, unless its directory is not there at all.
    if (records === undefined) return (await hasDirectory(file)) ? undefined : "cut-archive";
    const names = new Set(records.map(({ name }) => name.slice(name.indexOf("/") + 1)));
    const has = (pattern: RegExp) => [...names].some((name) => pattern.test(name));
    if (names.has("constants.pkl") || has(/^code\//)) return undefined;
    if (names.has("archive_format") || has(/^(models\/.*\.json|serialized_exported_program\.json)$/))
      return "exported-program";
    if (names.has(".data/extern_modules")) return "torch-package";
    const pickle = records.find(({ name }) => /^[^/]*\/data\.pkl$/.test(name));
    if (pickle === undefined) return "other-archive";
    return kindOfPickle(await readAt(file, pickle.offset, Math.min(pickle.size, LONGEST_PICKLE)));
  } finally {
    await file.close();
  }
}

function kindOfHead(head: Buffer, size: number, path: string): ForeignKind {
  if (size === 0) return "empty";
  const begun = BEGINNINGS.find(([beginning]) => head.subarray(0, beginning.length).equals(beginning));
  if (begun) return begun[1];
  if (head.length > 9 && head[8] === 0x7b && head.readBigUInt64LE(0) < BigInt(size)) return "safetensors";
  if (/^\s*<(!doctype|html)/i.test(head.toString("latin1"))) return "web-page";
  // torch.save before 1.6: several pickles, the first of which is a magic number; before 0.4 a tar.
  if (head.subarray(2, 2 + LEGACY.length).equals(LEGACY)) return kindOfPickle(head);
  if (head.subarray(257, 262).toString("latin1") === "ustar") {
    return /^(pickle|storages|tensors)\0/.test(head.toString("latin1")) ? "state-dict" : "compressed";
  }
  if (head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5) return kindOfPickle(head);
  // Protocol buffers have no magic number: an ONNX model begins with its version, then who made it, a string.
  const isOnnx = head[0] === 0x08 && (head[1] ?? 0x80) < 0x20 && head[2] === 0x12 && 4 + (head[3] ?? size) <= size;
  if (isOnnx || /\.onnx$/i.test(path)) return "onnx";
  return "unknown";
}

/** What is needed to read tensors in dicts and lists: whatever else a pickle names is Python classes. */
const OF_TENSORS =
  /^(collections OrderedDict|torch(\.\w+)? \w*Storage|torch\._utils \w+|torch\.\w*storage \w+|torch\.serialization \w+|torch (Size|device|dtype|float\w*|bfloat16|int\w*|uint8|bool)|numpy\S* \S+|_codecs encode|builtins \w+|__builtin__ \w+)$/;

/** Tells a pickle's kind by the classes that it names (its opcode c: a module's line and a name's). */
function kindOfPickle(pickle: Buffer): ForeignKind {
  const classes = [...pickle.toString("latin1").matchAll(/c([A-Za-z_][\w.]*)\n([A-Za-z_][\w.]*)\n/g)];
  const others = classes.filter(([, module, name]) => !OF_TENSORS.test(`${module} ${name}`));
  return others.length > 0 ? "pickled-module" : "state-dict";
}

async function hasDirectory(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  const length = Math.min(size, 65_557);
  return (await readAt(file, size - length, length)).includes("PK\x05\x06", 0, "latin1");
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
