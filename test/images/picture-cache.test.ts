// A picture that is asked about twice within a short time is looked at once.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Jimp } from "jimp";
import {
  NeuronBlip,
  NeuronBlipError,
  NeuronBlipForQuestionAnswering,
  type NeuronBlipOptions,
  NeuronBlipPreTrainedModel,
  Tensor,
} from "neuron-blip";
import { FeatureCache, ImageFeatures } from "../../dist/images/image-features.js";
import { RefCounted } from "../../dist/util/ref-counted.js";
import { assertAlike, fails, fixture } from "../helpers.js";

const model = fixture("parity/small-batch-2/model");
const cat = fixture("pictures/chelsea.png");
const coffee = fixture("pictures/coffee.png");
const astronaut = fixture("pictures/astronaut.png");
const short = { maxNewTokens: 3 };

/** How many pictures are looked at during a call. */
async function looks(call: () => Promise<unknown>): Promise<number> {
  const { encodeImages } = NeuronBlipPreTrainedModel.prototype;
  let count = 0;
  NeuronBlipPreTrainedModel.prototype.encodeImages = function (pixelValues, ...rest) {
    count += pixelValues.shape[0] as number;
    return encodeImages.call(this, pixelValues, ...rest);
  };
  try {
    await call();
  } finally {
    NeuronBlipPreTrainedModel.prototype.encodeImages = encodeImages;
  }
  return count;
}

describe("a picture that is asked about again", () => {
  let blip: NeuronBlip;
  const load = (options: NeuronBlipOptions = {}) => NeuronBlip.fromPretrained(model, { threads: 1, ...options });
  beforeEach(async () => {
    blip = await load();
  });
  afterEach(() => blip.dispose());

  it("is looked at once, with the same answers, by whatever name it comes", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-picture-"));
    try {
      const copy = join(directory, "copy.png");
      copyFileSync(cat, copy);
      const bytes = readFileSync(cat);
      const sources = [cat, copy, pathToFileURL(cat), bytes, new Uint8Array(bytes).buffer];
      const answers: unknown[] = [];
      const count = await looks(async () => {
        for (const source of sources) answers.push(await blip.answer(source, "dog?", short));
      });
      assert.equal(count, 1);
      for (const answer of answers) assertAlike(answer, answers[0]);
      assert.equal(await looks(() => blip.answer(coffee, "dog?", short)), 1, "another is another");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("is looked at once for callers that ask at the same time, in lists too", async () => {
    const count = await looks(() =>
      Promise.all([
        blip.answer(cat, "dog?", short),
        blip.answer(readFileSync(cat), "what is it?", short),
        blip.answer([readFileSync(cat), coffee, readFileSync(cat)], "dog?", short),
        blip.encodeImage(cat),
      ]),
    );
    assert.equal(count, 2);
  });

  it("is known by its pixels, where it comes as pixels", async () => {
    const { data, width, height } = (await Jimp.read(cat)).bitmap;
    const pixels = { data, width, height, channels: 4 as const };
    const first = await blip.answer(pixels, "dog?", short);
    assert.equal(await looks(() => blip.answer({ ...pixels, data: Uint8Array.from(data) }, "dog?", short)), 0);
    const changed = Uint8Array.from(data, (value) => 255 - value);
    assert.equal(await looks(() => blip.answer({ ...pixels, data: changed }, "dog?", short)), 1);
    assert.deepEqual(await blip.answer(pixels, "dog?", short), first);
  });

  it("is known by what becomes of its pixels, where they are many", async () => {
    const side = 1200;
    const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 7 + (i >> 9)) % 256);
    const pixels = { data, width: side, height: side };
    const ask = (source: object) => blip.answer(source as typeof pixels, "dog?", short);
    assert.equal(await looks(() => ask(pixels)), 1);
    assert.equal(await looks(() => ask({ ...pixels, data: Uint8Array.from(data), channels: 3 })), 0);
    data.fill(200);
    assert.equal(await looks(() => ask(pixels)), 1);
    await assert.rejects(ask({ ...pixels, height: 7 }), fails("INVALID_INPUT"));
    await assert.rejects(ask({ data: new Uint8Array(12), width: 5, height: 5 }), fails("INVALID_INPUT"));
  });

  it("is another where the same bytes have another size", async () => {
    const data = Uint8Array.from({ length: 64 * 32 * 3 }, (_, i) => (i * 31) % 256);
    await blip.answer({ data, width: 64, height: 32 }, "dog?", short);
    assert.equal(await looks(() => blip.answer({ data, width: 32, height: 64 }, "dog?", short)), 1);
  });

  it("is what it was when the call began: a buffer that changes later is not mistaken for it", async () => {
    const expected = await blip.answer(astronaut, "what is it?", short);
    await using fresh = await load();
    const [buffer, other] = [readFileSync(cat), readFileSync(coffee)];
    const call = fresh.answer(buffer, "what is it?", short);
    buffer.fill(0);
    other.copy(buffer);
    await call;
    assert.equal(await looks(() => fresh.answer(cat, "what is it?", short)), 0);
    assertAlike(await call, await fresh.answer(cat, "what is it?", short));
    for (const bytes of [readFileSync(cat), { buffer: readFileSync(cat) }]) {
      const ranking = fresh.rank(bytes, "what is it?", ["a cat", "a dog"]);
      (Buffer.isBuffer(bytes) ? bytes : bytes.buffer).fill(0);
      assertAlike(await ranking, await fresh.rank(cat, "what is it?", ["a cat", "a dog"]));
    }

    // Pixels are read while they are prepared: whatever is read, it is not kept as something else.
    const { data, width, height } = (await Jimp.read(astronaut)).bitmap;
    const changing = Uint8Array.from(data);
    const pixels = { width, height, channels: 4 as const };
    const mixed = fresh.answer({ ...pixels, data: changing }, "what is it?", short);
    changing.fill(9);
    await mixed;
    assertAlike(await fresh.answer({ ...pixels, data }, "what is it?", short), expected);
  });

  it("is looked at anew by every call with pictureCache false, and where it does not fit", async () => {
    for (const pictureCache of [false, { maxBytes: 0 }] as const) {
      await using own = await load({ pictureCache });
      const count = await looks(async () => {
        for (let i = 0; i < 3; i++) await own.answer(cat, "dog?", short);
      });
      assert.equal(count, 3);
    }
  });

  it("does not stay where it fails: the next call reads it again", async () => {
    const broken = readFileSync(cat).subarray(0, 2000);
    const asked = [1, 2, 3].map(() => blip.answer(broken, "dog?", short));
    for (const call of asked) await assert.rejects(call, fails("INVALID_IMAGE"));
    await assert.rejects(blip.answer("none.png", "dog?", short), fails("INVALID_IMAGE", /none\.png/));

    const { encodeImages } = NeuronBlipPreTrainedModel.prototype;
    let failures = 1;
    NeuronBlipPreTrainedModel.prototype.encodeImages = async function (...args) {
      if (failures-- > 0) throw new NeuronBlipError("EXECUTION_FAILED", "once");
      return encodeImages.apply(this, args);
    };
    try {
      const outcomes = await Promise.allSettled([1, 2, 3].map(() => blip.answer(cat, "dog?", short)));
      const statuses = outcomes.map(({ status }) => status).sort();
      assert.deepEqual(statuses, ["fulfilled", "fulfilled", "rejected"], "bad luck is one caller's alone");
    } finally {
      NeuronBlipPreTrainedModel.prototype.encodeImages = encodeImages;
    }
  });

  it("is looked at once where a list has the same content several times", async () => {
    const pictures = [readFileSync(cat), coffee, readFileSync(cat), cat];
    assert.equal(await looks(() => blip.answer(pictures, "dog?", short)), 2);
  });

  it("is looked at by a list that waited for it, where the call that began with it fails", async () => {
    const expected = await blip.answer([cat, coffee], "what is it?", short);
    await using fresh = await load();
    const { encodeImages } = NeuronBlipPreTrainedModel.prototype;
    let failures = 1;
    NeuronBlipPreTrainedModel.prototype.encodeImages = async function (...args) {
      for (let i = 0; i < 20; i++) await nextTurn();
      if (failures-- > 0) throw new NeuronBlipError("NEURON_EXECUTION", "once");
      return encodeImages.apply(this, args);
    };
    try {
      const first = fresh.answer([cat, coffee], "what is it?", { ...short, settled: true });
      const second = fresh.answer([cat, coffee], "what is it?", short);
      await first;
      assertAlike(await second, expected);
    } finally {
      NeuronBlipPreTrainedModel.prototype.encodeImages = encodeImages;
    }
  });

  it("comes in lists of pixels, some of them late, that hold up no other list", async () => {
    const { encodeImages } = NeuronBlipPreTrainedModel.prototype;
    NeuronBlipPreTrainedModel.prototype.encodeImages = () =>
      Promise.reject(new NeuronBlipError("EXECUTION_FAILED", "all were decoded"));
    let shade = 0;
    const pixels = () => ({ data: new Uint8Array(12).fill(shade++), width: 2, height: 2, channels: 3 as const });
    const late = () => {
      const { data, ...info } = pixels();
      const pipeline = {
        clone: () => pipeline,
        raw: () => pipeline,
        metadata: async () => info,
        toBuffer: async () => ({ data, info: { ...info, format: "raw" } }),
      };
      return pipeline;
    };
    try {
      const lists = Array.from({ length: 3 }, () => [...Array.from({ length: 31 }, pixels), late()]);
      const calls = lists.map((list) => assert.rejects(blip.answer(list, "what is it?"), fails("EXECUTION_FAILED")));
      await Promise.all(calls);
    } finally {
      NeuronBlipPreTrainedModel.prototype.encodeImages = encodeImages;
    }
  });

  it("is looked at by a list that has its pixels twice, where that fails once while many others wait for it", async () => {
    const { encodeImages } = NeuronBlipPreTrainedModel.prototype;
    let failures = 3; // the batch, and each of its pictures alone
    NeuronBlipPreTrainedModel.prototype.encodeImages = async function (...args) {
      while (waiting < 62) await nextTurn();
      if (failures-- > 0) throw new NeuronBlipError("EXECUTION_FAILED", "once");
      return encodeImages.apply(this, args);
    };
    const pixels = (shade = 7) => ({ data: new Uint8Array(12).fill(shade), width: 2, height: 2, channels: 3 as const });
    let waiting = 0;
    const { get } = FeatureCache.prototype;
    FeatureCache.prototype.get = function (...args) {
      waiting++;
      return get.apply(this, args);
    };
    try {
      const list = blip.answer([pixels(), pixels(), pixels(9)], "what is it?", { ...short, settled: true });
      while (waiting < 3) await nextTurn();
      waiting = 0;
      const others = Array.from({ length: 70 }, () => blip.encodeImage(pixels()));
      assert.deepEqual(
        (await list).map(({ status }) => status),
        ["rejected", "fulfilled", "rejected"],
      );
      for (const other of await Promise.all(others)) other.dispose();
    } finally {
      Object.assign(NeuronBlipPreTrainedModel.prototype, { encodeImages });
      Object.assign(FeatureCache.prototype, { get });
    }
  });

  it("goes on being looked at for the others when one that asks is aborted", async () => {
    const stop = new AbortController();
    const count = await looks(async () => {
      const gone = blip.answer(cat, "dog?", { ...short, signal: stop.signal });
      const stays = blip.answer(cat, "dog?", short);
      await nextTurn();
      stop.abort();
      await assert.rejects(gone, fails("ABORTED"));
      assert.equal(typeof (await stays).answer, "string");
    });
    assert.equal(count, 1);
  });

  it("is its owner's where encodeImage gave it: what he does to it reaches nobody else", async () => {
    const expected = await blip.answer(cat, "what is it?", short);
    const mine = await blip.encodeImage(cat);
    const yours = await blip.encodeImage(cat);
    mine.imageEmbeds.data.fill(0);
    mine.imageEmbeds.dispose();
    mine.dispose();
    assertAlike(await blip.answer(cat, "what is it?", short), expected);
    assertAlike(await blip.answer(yours, "what is it?", short), expected);
    yours.dispose();
    yours.dispose();
    await assert.rejects(blip.answer(yours, "what is it?", short), fails("DISPOSED"));
  });

  it("lets calls end that ask about it when its owner disposes it", async () => {
    const mine = await blip.encodeImage(cat);
    const call = blip.answer(mine, "what is it?", short);
    await nextTurn();
    mine.dispose();
    assertAlike(await call, await blip.answer(cat, "what is it?", short));
  });
});

describe("what the text encoder needs of a picture", () => {
  const { imageKeysValues, generateRows } = NeuronBlipForQuestionAnswering.prototype;
  let blip: NeuronBlip;
  let computed = 0;
  /** The pictures' tensors, and their keys and values, of each batch. */
  const given: { embeds: readonly Tensor[]; keyValues: readonly (Tensor | undefined)[] }[] = [];

  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
  });
  beforeEach(() => {
    computed = 0;
    given.length = 0;
    // A part that the fixture lacks: its result is only handed on.
    NeuronBlipForQuestionAnswering.prototype.imageKeysValues = async () => {
      computed++;
      return Tensor.zeros("float32", [1, 2, 1, 1, 1]);
    };
    NeuronBlipForQuestionAnswering.prototype.generateRows = function (texts, ...rest) {
      assert(typeof texts !== "function");
      given.push({ embeds: texts.map(({ image }) => image), keyValues: texts.map(({ keyValues }) => keyValues) });
      return generateRows.call(this, texts, ...rest);
    };
  });
  afterEach(() => {
    Object.assign(NeuronBlipForQuestionAnswering.prototype, { imageKeysValues, generateRows });
  });
  after(() => blip.dispose());

  it("is computed from the second use on, once, and given to every question after", async () => {
    await blip.answer(cat, "dog?", short);
    assert.equal(computed, 0);
    await blip.answer(cat, "what is it?", short);
    await blip.answer(cat, "dog?", short);
    await blip.answer(cat, "what is it?", short);
    assert.equal(computed, 1);
    assert.equal(given[0]?.keyValues[0], undefined);
    assert(given.at(-1)?.keyValues[0] instanceof Tensor);
  });

  it("is computed by encodeImage and before many questions", async () => {
    using encoded = await blip.encodeImage(coffee);
    assert.equal(computed, 1);
    await blip.answer(encoded, "dog?", short);
    assert(given[0]?.keyValues[0] instanceof Tensor);
    await blip.answer(astronaut, Array(8).fill("is there a dog in the room?"), short);
    assert.equal(computed, 2);
    for (const { keyValues } of given) assert(keyValues.every((tensor) => tensor instanceof Tensor));
  });

  it("is the same object, as the picture is, for all rows about one picture, of whichever call", async () => {
    using encoded = await blip.encodeImage(cat);
    await Promise.all([blip.answer(encoded, "dog?", short), blip.answer(encoded, "what is it?", short)]);
    await blip.answer([cat, readFileSync(cat)], ["dog?", "what is it?"], short);
    assert.equal(given.length, 2);
    for (const { embeds, keyValues } of given) {
      assert.equal(embeds.length, 2);
      assert.equal(embeds[0], embeds[1]);
      assert.equal(keyValues[0], keyValues[1]);
    }
  });

  it("is done without where it fails, or is larger than the cache", async () => {
    NeuronBlipForQuestionAnswering.prototype.imageKeysValues = async () => {
      throw new NeuronBlipError("EXECUTION_FAILED", "made up");
    };
    const fresh = Jimp.fromBitmap({ data: Buffer.alloc(64 * 64 * 4, 77), width: 64, height: 64 });
    const answers: unknown[] = [];
    for (let i = 0; i < 3; i++) answers.push(await blip.answer(fresh, "dog?", short));
    assertAlike(answers[2], answers[0]);
    assert.equal((await blip.answer(fresh, Array(9).fill("dog?"), short)).length, 9);
    NeuronBlipForQuestionAnswering.prototype.imageKeysValues = async () => Tensor.zeros("float32", [1_000_000]);
    await using small = await NeuronBlip.fromPretrained(model, { threads: 1, pictureCache: { maxBytes: 1_000_000 } });
    assert.equal(await looks(() => Promise.all([1, 2, 3].map(() => small.answer(cat, "dog?", short)))), 1);
    assert.equal(await looks(() => small.answer(cat, "dog?", short)), 0, "the picture itself stays");
    assert.equal(given.at(-1)?.keyValues[0], undefined);
  });
});

describe("the cache of pictures", () => {
  /** Pictures that say when they are let go of; 4 bytes for each number. */
  function picture(numbers: number): ImageFeatures {
    return new ImageFeatures(Tensor.zeros("float32", [1, 1, numbers]));
  }

  const isGone = ({ imageEmbeds }: ImageFeatures) => {
    try {
      return imageEmbeds.data === undefined;
    } catch {
      return true;
    }
  };

  /** Asks for a picture and lets go of it. @returns whether it was there. */
  async function ask(cache: FeatureCache, content: string, make = () => picture(25)): Promise<boolean> {
    const { features, wasThere } = await cache.get(content, undefined, async () => make());
    features.release();
    return wasThere;
  }

  it("makes room by letting go of those used longest ago, when nobody uses them any more", async () => {
    const cache = new FeatureCache({ maxBytes: 300 });
    const made = new Map<string, ImageFeatures>();
    const make = (content: string) => () => {
      const one = picture(25);
      made.set(content, one);
      return one;
    };
    const { features: a } = await cache.get("a", undefined, async () => make("a")());
    for (const content of ["b", "c"]) await ask(cache, content, make(content));
    assert.equal(cache.bytes, 300);
    assert.equal(await ask(cache, "b"), true);
    await ask(cache, "d", make("d"));
    assert.equal(cache.bytes, 300);
    assert.equal(isGone(made.get("a") as ImageFeatures), false, "it is in use");
    a.release();
    assert.equal(isGone(made.get("a") as ImageFeatures), true);
    assert.deepEqual([await ask(cache, "b"), await ask(cache, "d")], [true, true]);
    await ask(cache, "e");
    assert.equal(isGone(made.get("c") as ImageFeatures), true);
    assert.deepEqual(await ask(cache, "huge", () => picture(1000)), false);
    assert(cache.bytes <= 300);
    cache.dispose();
    assert.equal(cache.bytes, 0);
    assert.equal(isGone(made.get("b") as ImageFeatures), true);
  });

  it("keeps keys and values in half of its memory, those of pictures that are asked for most, and drives no picture out", async () => {
    const cache = new FeatureCache({ maxBytes: 2000 });
    const pictures = new Map<string, ImageFeatures>();
    /** Asks for a picture, and gives it keys and values of 500 bytes where they are wanted. */
    const use = async (content: string) => {
      const { features } = await cache.get(content, undefined, async () => picture(25));
      pictures.set(content, features);
      const wanted = cache.wants(features, 500);
      if (wanted && !features.keyValues) {
        features.keyValues = new RefCounted(Tensor.zeros("bfloat16", [250]));
        cache.admitKeyValues(features);
      }
      features.release();
    };
    const holders = () => [...pictures].flatMap(([content, { keyValues }]) => (keyValues ? [content] : [])).join("");
    for (const content of "abcd") await use(content);
    assert.equal(holders(), "ab");
    assert.equal(cache.bytes, 4 * 100 + 2 * 500);
    for (const content of "abcdabcd") await use(content);
    assert.equal(holders(), "ab", "pictures in turns do not drive out each other's");
    for (const content of "cc") await use(content);
    assert.equal(holders(), "bc");
    assert.equal(cache.bytes, 4 * 100 + 2 * 500);
    const { features } = await cache.get("a", undefined, async () => picture(25));
    assert.equal(cache.wants(features, 1001), false);
    features.release();
    cache.dispose();
    assert.equal(cache.bytes, 0);
  });

  it("lets go of what nobody has asked for within the age, by itself", async () => {
    const cache = new FeatureCache({ maxAgeMs: 1 });
    const one = picture(25);
    await ask(cache, "a", () => one);
    // The cache's timer keeps no process alive: something else must turn the event loop.
    while (!isGone(one)) await nextTurn();
    assert.equal(cache.bytes, 0);
  });

  it("stops looking when nobody asks any more, and frees what is found all the same", async () => {
    const cache = new FeatureCache();
    const [one, other] = [new AbortController(), new AbortController()];
    const found = picture(1);
    let finish = () => {};
    let lookSignal: AbortSignal | undefined;
    const look = (signal: AbortSignal) => {
      lookSignal = signal;
      return new Promise<ImageFeatures>((resolve) => {
        finish = () => resolve(found);
      });
    };
    const asked = [cache.get("a", one.signal, look), cache.get("a", other.signal, look)];
    one.abort();
    await assert.rejects(asked[0] as Promise<unknown>, { code: "ABORTED" });
    assert.equal(lookSignal?.aborted, false);
    other.abort();
    await assert.rejects(asked[1] as Promise<unknown>, { code: "ABORTED" });
    assert.equal(lookSignal?.aborted, true);
    assert.equal(await ask(cache, "a"), false, "it is not waited for any more");
    finish();
    await nextTurn();
    assert.equal(isGone(found), true);
    cache.dispose();
  });
});
