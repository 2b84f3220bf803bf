// The files that a checkpoint's directory holds: as they are found in the wild, and damaged.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip, NeuronBlipForConditionalGeneration, NeuronBlipForQuestionAnswering } from "neuron-blip";
import { fails, fixture } from "../helpers.js";

const whole = fixture("parity/checkpoint/model");
const captions = fixture("parity/captions-checkpoint/model");
const retrieval = fixture("parity/retrieval-checkpoint/model");
const picture = fixture("pictures/astronaut.png");
const QUESTIONS = ["dog?", "how many dogs are in the picture?"];
const HEAD = "text_decoder.cls.predictions.decoder";
const WORDS = "text_decoder.bert.embeddings.word_embeddings.weight";

interface Stored {
  dtype: string;
  shape: number[];
  bytes: Buffer;
}
type Weights = Map<string, Stored>;
type Config = Record<string, unknown> & {
  text_config: Record<string, unknown>;
  vision_config: Record<string, unknown>;
};

function readWeights(path: string): Weights {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: _, ...entries } = JSON.parse(file.toString("utf8", 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(entries).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(start + begin, start + end) }],
    ),
  );
}

function writeWeights(path: string, weights: Weights): void {
  let at = 0;
  const header = Object.fromEntries(
    [...weights].map(([name, { dtype, shape, bytes }]) => {
      const begin = at;
      at += bytes.length;
      return [name, { dtype, shape, data_offsets: [begin, at] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, ...[...weights.values()].map(({ bytes }) => bytes)]));
}

/** float32 as the upper half of its bits, rounded to the nearest. */
function toBfloat16({ shape, bytes }: Stored): Stored {
  const half = Buffer.alloc(bytes.length / 2);
  for (let i = 0; i < bytes.length / 4; i++)
    half.writeUInt16LE(Math.min(0xffff, (bytes.readUInt32LE(4 * i) + 0x8000) >>> 16), 2 * i);
  return { dtype: "BF16", shape, bytes: half };
}

/** float32 of moderate size as IEEE's half, rounded down. */
function toFloat16({ shape, bytes }: Stored): Stored {
  const half = Buffer.alloc(bytes.length / 2);
  for (let i = 0; i < bytes.length / 4; i++) {
    const bits = bytes.readUInt32LE(4 * i);
    const exponent = ((bits >>> 23) & 0xff) - 112;
    const number = exponent <= 0 ? 0 : (exponent << 10) | ((bits >>> 13) & 0x3ff);
    half.writeUInt16LE(((bits >>> 16) & 0x8000) | number, 2 * i);
  }
  return { dtype: "F16", shape, bytes: half };
}

describe("a checkpoint's files", () => {
  const work = mkdtempSync(join(tmpdir(), "neuron-blip-checkpoint-"));
  let count = 0;
  let expected: number[][];

  after(() => rmSync(work, { recursive: true }));

  /** A copy of a model, changed. */
  function changed(
    change: (files: { directory: string; weights: Weights; config: Config }) => void,
    from = whole,
  ): string {
    const directory = join(work, String(count++));
    cpSync(from, directory, { recursive: true });
    const weights = readWeights(join(from, "model.safetensors"));
    const config = JSON.parse(readFileSync(join(from, "config.json"), "utf8")) as Config;
    change({ directory, weights, config });
    writeFileSync(join(directory, "config.json"), JSON.stringify(config));
    writeWeights(join(directory, "model.safetensors"), weights);
    return directory;
  }

  const load = (directory: string) => NeuronBlip.fromPretrained(directory, { threads: 1, warmUp: false });
  const tokensOf = async (directory: string) => {
    await using blip = await load(directory);
    return (await blip.answer(picture, QUESTIONS)).map(({ tokenIds }) => tokenIds);
  };

  /** What the process is warned of meanwhile. */
  async function warningsDuring(call: () => Promise<unknown>): Promise<string[]> {
    const warnings: string[] = [];
    const { emitWarning } = process;
    process.emitWarning = (warning: string | Error) => void warnings.push(String(warning));
    try {
      await call();
      return warnings;
    } finally {
      process.emitWarning = emitWarning;
    }
  }

  before(async () => {
    expected = await tokensOf(whole);
    assert.notDeepEqual(expected[0], expected[1]);
  });

  it("may be several, which an index names", async () => {
    const directory = changed(() => {});
    const weights = [...readWeights(join(whole, "model.safetensors"))];
    const names = [
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
    ];
    const map: Record<string, string> = {};
    for (const [i, name] of names.entries()) {
      const part = weights.filter((_, place) => place % names.length === i);
      writeWeights(join(directory, name), new Map(part));
      for (const [weight] of part) map[weight] = name;
    }
    const index = join(directory, "model.safetensors.index.json");
    writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map }));
    rmSync(join(directory, "model.safetensors"));
    assert.deepEqual(await tokensOf(directory), expected);
    rmSync(join(directory, names[1] as string));
    await assert.rejects(load(directory), fails("ARTIFACT_NOT_FOUND", /lacks 1 of the 3 files .*model-00002-of-00003/));
    for (const bad of ["../other/model.safetensors", "a/b.safetensors", "model.pt", 7]) {
      writeFileSync(index, JSON.stringify({ weight_map: { x: bad } }));
      await assert.rejects(load(directory), fails("ARTIFACT_CORRUPT", /weight_map must name the file of each weight/));
    }
  });

  it("that were cut anywhere are an error", async () => {
    const size = readFileSync(join(whole, "model.safetensors")).length;
    for (const length of [0, 1, 7, 8, 100, 5000, Math.floor(size / 2), size - 4, size - 1]) {
      const directory = changed(() => {});
      truncateSync(join(directory, "model.safetensors"), length);
      await assert.rejects(
        load(directory),
        fails("ARTIFACT_CORRUPT", /model\.safetensors" is no whole safetensors file/),
      );
    }
    assert.deepEqual(await tokensOf(whole), expected);
  });

  it("that lack weights are an error that names them", async () => {
    const directory = changed(({ weights }) => {
      weights.delete("text_encoder.encoder.layer.1.crossattention.self.key.bias");
      weights.delete("vision_model.post_layernorm.weight");
    });
    await assert.rejects(
      load(directory),
      fails(
        "ARTIFACT_MISMATCH",
        /lacks 2 of the \d+ weights .*: vision_model\.post_layernorm\.weight, text_encoder\.encoder\.layer\.1\.crossattention\.self\.key\.bias\./,
      ),
    );
  });

  it("that hold other weights besides answer all the same, with one warning that names them", async () => {
    const one = { dtype: "F32", shape: [1], bytes: Buffer.alloc(4) };
    const positions = { dtype: "I64", shape: [1, 1], bytes: Buffer.alloc(8) };
    const directory = changed(({ weights }) => {
      for (const name of ["queue", "text_encoder.pooler.dense.weight"]) weights.set(name, one);
      weights.set("text_encoder.embeddings.position_ids", positions);
    });
    const warnings = await warningsDuring(async () => assert.deepEqual(await tokensOf(directory), expected));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] as string,
      /holds 2 weights that are not used, .*: queue, text_encoder\.pooler\.dense\.weight\.$/,
    );
    assert.deepEqual(
      await warningsDuring(() => tokensOf(changed(({ weights }) => weights.set("a.position_ids", positions)))),
      [],
    );
  });

  it("must have the shapes that config.json says, each of them", async () => {
    const names = [...readWeights(join(whole, "model.safetensors")).keys()];
    for (const name of names.filter((_, i) => i % 9 === 0)) {
      const directory = changed(({ weights }) => {
        const { dtype, shape, bytes } = weights.get(name) as Stored;
        weights.set(name, { dtype, shape: [1, ...shape], bytes });
      });
      const message = new RegExp(`${name.replaceAll(".", "\\.")} is \\[1, .*and by config\\.json it is \\[`);
      await assert.rejects(load(directory), fails("ARTIFACT_MISMATCH", message));
    }
    for (const [section, setting, value] of [
      ["vision_config", "intermediate_size", 33],
      ["text_config", "vocab_size", 500],
      ["text_config", "max_position_embeddings", 65],
    ] as const) {
      const directory = changed(({ config }) => Object.assign(config[section], { [setting]: value }));
      await assert.rejects(load(directory), fails("ARTIFACT_MISMATCH", /and by config\.json it is/));
    }
  });

  it("must have numbers that weights have", async () => {
    const directory = changed(({ weights }) => {
      const { shape } = weights.get(WORDS) as Stored;
      const bytes = Buffer.alloc((shape[0] as number) * (shape[1] as number));
      weights.set(WORDS, { dtype: "I8", shape, bytes });
    });
    await assert.rejects(
      load(directory),
      fails("ARTIFACT_MISMATCH", /is int8, and weights must be float32, float16, /),
    );
  });

  it("may be of half precision", async () => {
    for (const [halved, equal] of [
      [toFloat16, 1],
      [toBfloat16, 0.5],
    ] as const) {
      const directory = changed(({ weights }) => {
        for (const [name, stored] of weights) weights.set(name, halved(stored));
      });
      const tokens = await tokensOf(directory);
      const same = tokens.filter((row, i) => row[1] === expected[i]?.[1]).length;
      assert(same >= equal * tokens.length, `${same} of ${tokens.length} by ${halved.name}`);
    }
  });

  it("may tie the head to the word embeddings, either way round, or have one of its own", async () => {
    const words = readWeights(join(whole, "model.safetensors")).get(WORDS) as Stored;
    const headAlone = changed(({ weights }) => {
      weights.set(`${HEAD}.weight`, weights.get(WORDS) as Stored);
      weights.delete(WORDS);
      weights.set(`${HEAD}.bias`, weights.get("text_decoder.cls.predictions.bias") as Stored);
      weights.delete("text_decoder.cls.predictions.bias");
    });
    assert.deepEqual(await tokensOf(headAlone), expected);
    const own = changed(({ weights, config }) => {
      const zeros = { ...words, bytes: Buffer.alloc(words.bytes.length) };
      weights.set(`${HEAD}.weight`, zeros);
      const bias = weights.get("text_decoder.cls.predictions.bias") as Stored;
      const favourite = Buffer.alloc(bias.bytes.length);
      favourite.writeFloatLE(1, 4 * 200);
      weights.set(`${HEAD}.bias`, { ...bias, bytes: favourite });
      for (const json of [config, config.text_config]) json.tie_word_embeddings = false;
    });
    for (const row of await tokensOf(own)) assert.deepEqual(new Set(row.slice(1)), new Set([200]));
    const untied = changed(({ config }) => {
      for (const json of [config, config.text_config]) json.tie_word_embeddings = false;
    });
    await assert.rejects(load(untied), fails("ARTIFACT_MISMATCH", /lacks 2 of .*predictions\.decoder\.weight/));
  });

  it("need no generation_config.json, and may say how pictures are prepared in either of two files", async () => {
    const directory = changed(({ directory: made }) => rmSync(join(made, "generation_config.json")));
    assert.deepEqual(await tokensOf(directory), expected);
    const nested = changed(({ directory: made }) => {
      const settings = JSON.parse(readFileSync(join(made, "preprocessor_config.json"), "utf8"));
      writeFileSync(join(made, "processor_config.json"), JSON.stringify({ image_processor: settings }));
      rmSync(join(made, "preprocessor_config.json"));
    });
    assert.deepEqual(await tokensOf(nested), expected);
  });

  it("may lie beside those that a trainer left, and are passed over where there are compiled parts", async () => {
    const trained = changed(({ directory }) => {
      for (const name of ["optimizer.pt", "scheduler.pt", "rng_state.pth"]) writeFileSync(join(directory, name), "");
    });
    assert.deepEqual(await tokensOf(trained), expected);
    const compiled = fixture("parity/small-batch-2/model");
    const both = join(work, "both");
    cpSync(compiled, both, { recursive: true });
    cpSync(join(whole, "model.safetensors"), join(both, "model.safetensors"));
    assert.deepEqual(await tokensOf(both), await tokensOf(compiled));
  });

  it("must be of BLIP's own activation, and of heads that divide its width", async () => {
    for (const section of ["vision_config", "text_config"] as const) {
      const relu = changed(({ config }) => Object.assign(config[section], { hidden_act: "relu" }));
      await assert.rejects(load(relu), fails("ARTIFACT_MISMATCH", /hidden_act of \w+ is "relu"/));
      const heads = changed(({ config }) => Object.assign(config[section], { num_attention_heads: 5 }));
      await assert.rejects(load(heads), fails("ARTIFACT_CORRUPT", /must be a multiple of num_attention_heads, 5/));
    }
  });

  it("are of the class that config.json names", async () => {
    const options = { threads: 1, warmUp: false };
    await using model = await NeuronBlipForConditionalGeneration.fromPretrained(captions, options);
    assert.equal(model.config.architecture, "BlipForConditionalGeneration");
    await assert.rejects(
      NeuronBlipForQuestionAnswering.fromPretrained(captions, options),
      fails("ARTIFACT_MISMATCH", /holds a BlipForConditionalGeneration, not a BlipForQuestionAnswering/),
    );
    // One that writes nothing needs no [DEC].
    const vocabulary = changed(({ config }) => Object.assign(config.text_config, { bos_token_id: 30_522 }), retrieval);
    await using matching = await load(vocabulary);
    assert.equal((await matching.match(picture, ["a cat", "no"])).length, 2);
  });
});
