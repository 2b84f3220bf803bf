// Damages files, by a seeded generator: bytes of any file, ZIP archives in their own ways, and JSON.
import { crc32 } from "node:zlib";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Draws, the same for the same seed. */
export class Dice {
  /** @param {number} seed */
  constructor(seed) {
    this.generator = xoroshiro128plus(seed);
  }

  /**
   * @param {number} end
   * @returns {number} a whole number from 0 to end, without it
   */
  below(end) {
    return uniformInt(this.generator, 0, Math.max(end, 1) - 1);
  }

  /**
   * @template T
   * @param {readonly T[]} items
   * @returns {T}
   */
  pick(items) {
    return /** @type {T} */ (items[this.below(items.length)]);
  }
}

/**
 * @typedef {object} Entry
 * @property {number} central where its entry in the directory begins
 * @property {number} header where its own header begins
 * @property {number} start where its bytes begin
 * @property {number} size
 */

/**
 * @param {Buffer} archive
 * @returns {Entry[]} the records of an archive that torch wrote
 */
function entriesOf(archive) {
  const end = archive.lastIndexOf("PK\x05\x06", undefined, "latin1");
  const entries = [];
  let central = archive.readUInt32LE(end + 16);
  for (let i = 0; i < archive.readUInt16LE(end + 10); i++) {
    const header = archive.readUInt32LE(central + 42);
    const start = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
    entries.push({ central, header, start, size: archive.readUInt32LE(central + 20) });
    const lengths = [28, 30, 32].map((field) => archive.readUInt16LE(central + field));
    central += lengths.reduce((sum, length) => sum + length, 46);
  }
  return entries;
}

/**
 * @param {Buffer} bytes
 * @param {Dice} dice
 * @param {number} start
 * @param {number} size the part that is changed
 */
function changeBytes(bytes, dice, start, size) {
  for (let i = dice.below(8); i >= 0; i--) {
    const at = start + dice.below(size);
    if (at < bytes.length) bytes[at] = dice.pick([dice.below(256), 0, 0xff, (bytes[at] ?? 0) ^ (1 << dice.below(8))]);
  }
}

/** @type {Readonly<Record<string, (bytes: Buffer, dice: Dice, other: Buffer) => Buffer>>} */
const ofBytes = {
  flip: (bytes, dice) => {
    changeBytes(bytes, dice, 0, bytes.length);
    return bytes;
  },
  cut: (bytes, dice) => bytes.subarray(0, dice.below(bytes.length)),
  behead: (bytes, dice) => bytes.subarray(dice.below(bytes.length)),
  fill: (bytes, dice) => bytes.fill(dice.pick([0, 0xff, 0x55]), dice.below(bytes.length), dice.below(bytes.length)),
  move: (bytes, dice) => {
    bytes.copyWithin(dice.below(bytes.length), dice.below(bytes.length), dice.below(bytes.length));
    return bytes;
  },
  graft: (bytes, dice, other) =>
    Buffer.concat([bytes.subarray(0, dice.below(bytes.length)), other.subarray(dice.below(other.length))]),
};

/** @type {typeof ofBytes} */
const ofArchives = {
  directory: (bytes, dice) => {
    changeBytes(bytes, dice, dice.pick(entriesOf(bytes)).central, 46);
    return bytes;
  },
  header: (bytes, dice) => {
    changeBytes(bytes, dice, dice.pick(entriesOf(bytes)).header, 30);
    return bytes;
  },
  end: (bytes, dice) => {
    changeBytes(bytes, dice, bytes.length - 22, 22);
    return bytes;
  },
  size: (bytes, dice) => {
    const { central } = dice.pick(entriesOf(bytes));
    const value = dice.pick([0, 1, 0x7fffffff, 0xfffffffe, 0xffffffff, dice.below(bytes.length * 2)]);
    for (const field of dice.pick([[20], [24], [20, 24], [42]])) bytes.writeUInt32LE(value, central + field);
    return bytes;
  },
  record: (bytes, dice) => {
    const { start, size } = dice.pick(entriesOf(bytes));
    changeBytes(bytes, dice, start, size);
    return bytes;
  },
  exchange: (bytes, dice) => {
    const [one, other] = [dice.pick(entriesOf(bytes)), dice.pick(entriesOf(bytes))];
    const entry = Buffer.from(bytes.subarray(one.central + 16, one.central + 28));
    bytes.copy(bytes, one.central + 16, other.central + 16, other.central + 28);
    entry.copy(bytes, other.central + 16);
    bytes.writeUInt32LE(other.header, one.central + 42);
    bytes.writeUInt32LE(one.header, other.central + 42);
    return bytes;
  },
};

/** A record that is changed and sealed with its new checksum: no damage by chance, but a stranger's program. */
function sealed(/** @type {Buffer} */ bytes, /** @type {Dice} */ dice) {
  const { central, header, start, size } = dice.pick(entriesOf(bytes));
  changeBytes(bytes, dice, start, size);
  const crc = crc32(bytes.subarray(start, start + size));
  bytes.writeUInt32LE(crc, central + 16);
  bytes.writeUInt32LE(crc, header + 14);
  return bytes;
}

/**
 * @param {Buffer} file of any kind
 * @param {Dice} dice
 * @param {Buffer} other another, for grafts
 * @returns {{how: string, bytes: Buffer}}
 */
export function mutateBytes(file, dice, other) {
  const how = dice.pick(Object.keys(ofBytes));
  return { how, bytes: /** @type {typeof ofBytes[string]} */ (ofBytes[how])(Buffer.from(file), dice, other) };
}

/**
 * @param {Buffer} file a TorchScript file
 * @param {Dice} dice
 * @param {Buffer} other another, for grafts
 * @param {boolean} seals whether to change records and give them their new checksums, instead of anything else
 * @returns {{how: string, bytes: Buffer}}
 */
export function mutateModule(file, dice, other, seals) {
  if (seals) return { how: "sealed", bytes: sealed(Buffer.from(file), dice) };
  const ways = { ...ofBytes, ...ofArchives };
  const how = dice.pick(Object.keys(ways));
  return { how, bytes: /** @type {typeof ofBytes[string]} */ (ways[how])(Buffer.from(file), dice, other) };
}

/** What takes the place of a value. */
const VALUES = [
  0,
  1,
  -1,
  0.5,
  7,
  1e5,
  1e9,
  2 ** 31,
  2 ** 53,
  1e308,
  -1e308,
  null,
  true,
  false,
  "",
  "x",
  "0",
  "[SEP]",
  [],
  [[]],
  {},
  [1, 2, 3],
  "y".repeat(100_000),
  { a: { b: [null] } },
];

/**
 * @param {Buffer} file JSON
 * @param {Dice} dice
 * @returns {{how: string, bytes: Buffer}}
 */
export function mutateJson(file, dice) {
  const how = dice.pick(["value", "value", "value", "value", "remove", "add", "nest", "wrap", ...Object.keys(ofBytes)]);
  const ofText = ofBytes[how];
  if (ofText) return { how, bytes: ofText(Buffer.from(file), dice, file) };
  const json = JSON.parse(file.toString());
  if (how === "wrap") return { how, bytes: Buffer.from(JSON.stringify([json])) };
  const places = placesIn(json).slice(0, 2000);
  const { parent, key } = dice.pick(places);
  if (how === "remove") delete parent[key];
  if (how === "add") parent[`${key}x`] = dice.pick(VALUES);
  if (how === "value") parent[key] = dice.pick(VALUES);
  if (how !== "nest") return { how, bytes: Buffer.from(JSON.stringify(json)) };
  parent[key] = "@";
  const depth = 10 ** (1 + dice.below(5));
  return { how, bytes: Buffer.from(JSON.stringify(json).replace('"@"', `${"[".repeat(depth)}1${"]".repeat(depth)}`)) };
}

/**
 * @param {any} json
 * @returns {{parent: any, key: string}[]} every value's place, those near the top first
 */
function placesIn(json) {
  const places = [];
  const pending = [json];
  for (const parent of pending) {
    for (const key of Object.keys(parent).slice(0, 500)) {
      places.push({ parent, key });
      if (typeof parent[key] === "object" && parent[key] !== null) pending.push(parent[key]);
    }
  }
  return places;
}
