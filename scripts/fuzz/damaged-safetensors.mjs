// Makes small .safetensors files by a seeded generator, and damages them in the format's own ways.
import { mutateBytes, mutateJson } from "./mutate.mjs";

/** @typedef {import("./mutate.mjs").Dice} Dice */
/** @typedef {{dtype: string, shape: number[], data_offsets: [number, number]}} Entry */

/** @type {Readonly<Record<string, number>>} */
const SIZES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };
/** @type {readonly import("neuron-blip").Dtype[]} */
const WILD_DTYPES = ["float32", "float64", "float16", "int64", "uint8", "bool"];
const LENGTHS = [0, 1, 7, 8, 100, 2 ** 31, 100_000_000, 100_000_001, 2 ** 53];

/**
 * @param {Dice} dice
 * @returns {{header: Record<string, any>, data: Buffer}} a whole file's
 */
function wholeFile(dice) {
  /** @type {Record<string, any>} */
  const header = dice.below(2) === 0 ? { __metadata__: { format: "pt" } } : {};
  let end = 0;
  for (let i = dice.below(9); i > 0; i--) {
    const dtype = dice.pick(Object.keys(SIZES));
    const shape = Array.from({ length: dice.below(4) }, () => dice.pick([0, 1, 2, 3, 17, 64]));
    const begin = end;
    end += shape.reduce((product, size) => product * size, SIZES[dtype] ?? 0);
    header[`layer.${i}.weight`] = { dtype, shape, data_offsets: [begin, end] };
  }
  return { header, data: Buffer.alloc(end, 1) };
}

/** @returns {Buffer} */
function written(/** @type {Buffer} */ header, /** @type {Buffer} */ data, length = BigInt(header.length)) {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length);
  return Buffer.concat([prefix, header, data]);
}

/** @type {Readonly<Record<string, (entry: Entry, dice: Dice, other: Entry) => void>>} */
const ofEntries = {
  move: ({ data_offsets: offsets }, dice) => {
    const by = dice.pick([1, 4, -1, -4, 2 ** 31, 2 ** 53]);
    for (const i of dice.pick([[0], [1], [0, 1]])) offsets[/** @type {0 | 1} */ (i)] += by;
  },
  swap: (entry, _dice, other) => {
    [entry.data_offsets, other.data_offsets] = [other.data_offsets, entry.data_offsets];
  },
  overlap: (entry, _dice, other) => {
    entry.data_offsets = [...other.data_offsets];
  },
  dtype: (entry, dice) => {
    entry.dtype = dice.pick([...Object.keys(SIZES), "F8_E4M3", "F4", "U16", "f32", "", "__proto__"]);
  },
  shape: ({ shape }, dice) => {
    const size = dice.pick([0, 1, 2, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 62]);
    if (shape.length === 0 || dice.below(3) === 0) shape.push(size);
    else shape[dice.below(shape.length)] = size;
  },
  rank: (entry, dice) => {
    entry.shape = [...entry.shape, ...Array(dice.pick([1, 64, 65, 10_000])).fill(1)];
  },
};

/**
 * @param {Dice} dice
 * @param {Buffer} [file] a whole one; a small one is made where it is not given
 * @returns {{how: string, bytes: Buffer}}
 */
export function damagedSafetensors(dice, file) {
  const { header, data } = file === undefined ? wholeFile(dice) : parsed(file);
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const json = Buffer.from(JSON.stringify(header));
  const whole = written(json, data);
  switch (dice.below(8)) {
    case 0: {
      if (Object.keys(header).length === 0) break;
      const { how, bytes } = mutateJson(json, dice);
      return { how: `${how} in the header`, bytes: written(bytes, data) };
    }
    case 1:
    case 2: {
      if (names.length === 0) break;
      const how = dice.pick(Object.keys(ofEntries));
      const [one, other] = [header[dice.pick(names)], header[dice.pick(names)]];
      /** @type {typeof ofEntries[string]} */ (ofEntries[how])(one, dice, other);
      return { how: `${how} of an entry`, bytes: written(Buffer.from(JSON.stringify(header)), data) };
    }
    case 3: {
      const length = dice.pick([...LENGTHS, whole.length, whole.length - 8, json.length + 1, json.length - 1]);
      return { how: `length ${length}`, bytes: written(json, data, BigInt(Math.max(length, 0))) };
    }
    case 4:
      return { how: "cut", bytes: whole.subarray(0, dice.below(whole.length)) };
    case 5:
      return { how: "more", bytes: Buffer.concat([whole, Buffer.alloc(1 + dice.below(5000))]) };
    case 6: {
      const { how, bytes } = mutateBytes(whole, dice, written(Buffer.from("{}"), data));
      return { how: `${how} of the file`, bytes };
    }
  }
  return { how: "whole", bytes: whole };
}

/** @returns {{header: Record<string, any>, data: Buffer}} */
function parsed(/** @type {Buffer} */ file) {
  const end = 8 + Number(file.readBigUInt64LE(0));
  return { header: JSON.parse(file.toString("utf8", 8, end)), data: file.subarray(end) };
}

/**
 * Tensors that nobody has checked.
 * @param {Dice} dice
 * @param {number} size of the file
 */
export function wildEntries(dice, size) {
  const numbers = [
    0,
    1,
    3,
    4,
    size - 1,
    size,
    size + 1,
    -1,
    2 ** 31,
    2 ** 32,
    2 ** 53 - 1,
    -(2 ** 53),
    dice.below(size + 1),
  ];
  return Array.from({ length: 1 + dice.below(5) }, (_, i) => ({
    name: `t${i}`,
    dtype: dice.pick(WILD_DTYPES),
    shape: Array.from({ length: dice.below(4) }, () => dice.pick([1, 1, 2, ...numbers])),
    offset: dice.pick(numbers),
  }));
}
