import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BertTokenizer, BlipImageProcessor, NeuronBlip, NeuronBlipError } from "neuron-blip";
import { compiledModel, demo, demoQuestions, fails } from "../helpers.ts";
import { makeTokenizerJson } from "./bert-vocabulary.ts";
import { isSound, type Json, nested, type Path, tryWrongValues, WRONG, withValue } from "./wrong-values.ts";

const [asked] = demoQuestions as [(typeof demoQuestions)[number]];
const picture = join(demo, asked.picture);

describe("a model directory's JSON", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-json-"));
    cpSync(compiledModel, directory, { recursive: true });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const at = (name: string) => join(directory, name);
  const read = (name: string) => JSON.parse(readFileSync(at(name), "utf8")) as Json;

  const loadModel = async () => {
    await using blip = await NeuronBlip.fromPretrained(directory, { verify: false, warmUp: false });
    await blip.answer(picture, asked.question);
  };
  const loadTokenizer = async () => {
    const tokenizer = await BertTokenizer.fromPretrained(directory);
    tokenizer.decode(tokenizer.encode("is a dog red?", { maxLength: 8, truncation: true }).ids);
  };
  const loadPictures = async () => {
    const pixels = { data: new Uint8Array(12), width: 2, height: 2 };
    (await (await BlipImageProcessor.fromPretrained(directory)).preprocess(pixels)).dispose();
  };

  const files: [string, readonly string[], () => Promise<unknown>, number, number][] = [
    ["tokenizer.json", WRONG, loadTokenizer, 6, 300],
    ["tokenizer_config.json", WRONG, loadTokenizer, 6, 200],
    ["preprocessor_config.json", WRONG, loadPictures, 20, 150],
  ];
  for (const [name, values, load, most, least] of files) {
    it(`with a wrong value anywhere in ${name} loads or is refused, and the good one loads afterwards`, async () => {
      const { loads, good } = await tryWrongValues(at(name), values, load, most);
      assert(loads >= least, `${loads} loads`);
      assert(good < loads, "nothing was refused");
    }).timeout(180_000);
  }

  it("with a value 100,000 deep, or as long, in any of a file's fields is refused or passed over", async () => {
    const files = ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"];
    writeFileSync(at("processor_config.json"), '{"image_processor": {"size": 96}}');
    for (const name of files) {
      const json = read(name);
      for (const field of Object.keys(json)) {
        for (const value of [nested(100_000), `"${"long ".repeat(100_000)}"`]) {
          writeFileSync(at(name), withValue(json, [field], value));
          await isSound(`${name}: ${field}`, loadTokenizer);
          await isSound(`${name}: ${field}`, loadPictures);
        }
      }
      writeFileSync(at(name), JSON.stringify(json));
    }
    await loadModel();
  });

  it("with a wrong value of each setting of generation_config.json is refused", async () => {
    const settings = {
      max_length: 5,
      num_beams: 2,
      num_return_sequences: 1,
      length_penalty: 1,
      early_stopping: true,
      repetition_penalty: 1,
      no_repeat_ngram_size: 0,
      bad_words_ids: [[5]],
      sequence_bias: [[[5], 1]],
      forced_eos_token_id: 102,
      suppress_tokens: [5],
    };
    for (const name of Object.keys(settings)) {
      for (const value of [nested(100_000), '"x"', "[[[]]]", '{"__proto__":1}', "-1"]) {
        if (name === "length_penalty" && value === "-1") continue;
        writeFileSync(at("generation_config.json"), withValue({ [name]: 0 }, [name], value));
        await assert.rejects(loadModel(), fails("ARTIFACT_MISMATCH", /generation_config\.json/));
      }
    }
  });

  it("with token ids that the vocabulary does not have is refused where they are written", async () => {
    for (const setting of [{ bad_words_ids: [[289]] }, { forced_bos_token_id: 999 }, { suppress_tokens: [1e9] }]) {
      writeFileSync(at("generation_config.json"), JSON.stringify(setting));
      await assert.rejects(loadModel(), fails("ARTIFACT_MISMATCH", /vocabulary has 289/));
    }
    writeFileSync(at("generation_config.json"), "{}");
    for (const name of ["bos_token_id", "sep_token_id", "pad_token_id"]) {
      const config = read("config.json");
      writeFileSync(at("config.json"), withValue(config, ["text_config", name], "289"));
      await assert.rejects(loadModel(), fails("ARTIFACT_CORRUPT", new RegExp(`${name} must be .* vocab_size is 289`)));
      writeFileSync(at("config.json"), JSON.stringify(config));
    }
    const tokenizer = makeTokenizerJson();
    writeFileSync(at("tokenizer.json"), JSON.stringify(tokenizer));
    await assert.rejects(loadModel(), fails("ARTIFACT_MISMATCH", /tokenizer has 30522 tokens, and the model 289/));
  });

  const sizes: [string, string, Path, string, Parameters<typeof fails>][] = [
    ["a picture's size", "config.json", ["vision_config", "image_size"], "1000000", ["ARTIFACT_CORRUPT", /1 to 4096/]],
    ["patches", "config.json", ["vision_config", "patch_size"], "97", ["ARTIFACT_CORRUPT", /patches of 97/]],
    ["one of too many", "config.json", ["vision_config", "hidden_size"], "1e12", ["ARTIFACT_CORRUPT", /1 to 16384/]],
    [
      "another width",
      "config.json",
      ["vision_config", "hidden_size"],
      "256",
      ["ARTIFACT_MISMATCH", /hidden_size is 256/],
    ],
    ["another width of text", "config.json", ["text_config", "hidden_size"], "64", ["ARTIFACT_MISMATCH", /is 64/]],
    [
      "too many words",
      "config.json",
      ["text_config", "vocab_size"],
      "1e10",
      ["ARTIFACT_CORRUPT", /vocab_size must be/],
    ],
    ["other words", "config.json", ["text_config", "vocab_size"], "400", ["ARTIFACT_MISMATCH", /vocab_size is 400/]],
    ["few positions", "config.json", ["text_config", "max_position_embeddings"], "8", ["ARTIFACT_MISMATCH", /tokens/]],
    ["too many layers", "config.json", ["text_config", "num_hidden_layers"], "1e9", ["ARTIFACT_CORRUPT", /1 to 1024/]],
    ["pictures prepared otherwise", "preprocessor_config.json", ["size"], "64", ["ARTIFACT_MISMATCH", /64 x 64/]],
    ["huge ones", "preprocessor_config.json", ["size"], "32767", ["ARTIFACT_MISMATCH", /from 1 to 4096/]],
    ["batches", "neuron_blip.json", ["batch_size"], "1000000000", ["ARTIFACT_CORRUPT", /1024 rows/]],
    ["long questions", "neuron_blip.json", ["question_length"], "1e8", ["ARTIFACT_MISMATCH", /contradicts itself/]],
    ["beams", "generation_config.json", ["num_beams"], "1e9", ["ARTIFACT_MISMATCH", /<= 256, since each keeps/]],
  ];
  for (const [what, name, path, value, [code, message]] of sizes) {
    it(`with ${what} that cannot be (${path.join(".")} ${value}) is refused before anything is made by it`, async () => {
      writeFileSync(at(name), withValue(read(name), path, value));
      await assert.rejects(loadModel(), fails(code, message));
    });
  }

  it("of the tutorial's kind, of another picture size than its parts, is refused with the reason", async () => {
    rmSync(at("neuron_blip.json"));
    const config = read("config.json");
    for (const size of ["192", "400"]) {
      writeFileSync(at("config.json"), withValue(config, ["vision_config", "image_size"], size));
      writeFileSync(at("preprocessor_config.json"), JSON.stringify({ size: Number(size) }));
      await assert.rejects(loadModel(), fails("ARTIFACT_MISMATCH", new RegExp(`pictures of ${size} x ${size}`)));
    }
    writeFileSync(at("config.json"), JSON.stringify(config));
    writeFileSync(at("preprocessor_config.json"), JSON.stringify({ size: 96 }));
    for (const length of [1e9, 65, 0, 1.5]) {
      await assert.rejects(
        NeuronBlip.fromPretrained(directory, { questionLength: length }),
        fails("INVALID_INPUT", /questionLength must be a whole number from 1 to 64/),
      );
    }
    await loadModel();
  });

  const contents: [string, string | Buffer, RegExp][] = [
    ["nothing", "", /not valid JSON/],
    ["an array", "[]", /holds no JSON object/],
    ["null", "null", /holds no JSON object/],
    ["NaN", '{"a": NaN}', /not valid JSON/],
    ["an array 100,000 deep", nested(100_000), /holds no JSON object/],
    ["an array 100,000 deep that does not end", "[".repeat(100_000), /not valid JSON/],
    ["UTF-16", Buffer.from('\ufeff{"a": 1}', "utf16le"), /UTF-8/],
    ["bytes that are no text", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), /UTF-8/],
  ];
  for (const name of ["config.json", "tokenizer.json", "processor_config.json"]) {
    it(`refuses a ${name} that holds no JSON object, whatever it holds, and one of gigabytes unread`, async () => {
      for (const [, content, message] of contents) {
        writeFileSync(at(name), content);
        await assert.rejects(loadModel(), fails("ARTIFACT_CORRUPT", message));
      }
      truncateSync(at(name), 3 * 2 ** 30);
      await assert.rejects(loadModel(), fails("ARTIFACT_CORRUPT", /3221225472 bytes/));
      rmSync(at(name));
      execFileSync("mkfifo", [at(name)]);
      await assert.rejects(loadModel(), fails("ARTIFACT_CORRUPT", /not a file/));
    });
  }

  it("is read with a byte order mark", async () => {
    writeFileSync(at("config.json"), `\ufeff${readFileSync(at("config.json"), "utf8")}`);
    await loadModel();
  });
});

describe("a tokenizer.json", () => {
  const question = "how many dogs are in the picture?";
  const whole = new BertTokenizer(makeTokenizerJson());
  const complete = whole.encode(question);
  const text = whole.decode(complete.ids);

  it("without a post_processor, decoder, normalizer, pre_tokenizer or added tokens works as in Python", () => {
    for (const name of ["post_processor", "decoder", "normalizer", "pre_tokenizer", "added_tokens"]) {
      for (const missing of [{ [name]: undefined }, ...(name === "added_tokens" ? [] : [{ [name]: null }])]) {
        const tokenizer = new BertTokenizer({ ...makeTokenizerJson(), ...missing });
        assert.deepEqual(tokenizer.encode(question), complete, JSON.stringify(missing));
        assert.equal(tokenizer.decode(complete.ids), text);
      }
    }
  });

  it("without a normalizer goes by tokenizer_config.json", () => {
    const json = { ...makeTokenizerJson(), normalizer: undefined };
    const ids = (config: object) => new BertTokenizer(json, config).encode("A café").ids;
    assert.deepEqual(ids({}), ids({ do_lower_case: true }));
    assert.notDeepEqual(ids({}), ids({ do_lower_case: false }));
    assert.notDeepEqual(ids({}), ids({ strip_accents: false }));
  });

  it("with names of JavaScript's own as tokens reads them as any others", () => {
    const json = makeTokenizerJson() as { model: { vocab: Record<string, number> } };
    const vocab = JSON.parse(
      JSON.stringify(json.model.vocab).replace(/}$/, ',"constructor":31000,"__proto__":31001,"hasownproperty":31002}'),
    );
    const tokenizer = new BertTokenizer({ ...json, model: { ...json.model, vocab } });
    assert.deepEqual(tokenizer.encode("constructor hasOwnProperty").ids, [101, 31000, 31002, 102]);
    assert.equal(tokenizer.decode([31000, 31001]), "constructor __proto__");
    assert.deepEqual(new BertTokenizer(json).encode("toString"), new BertTokenizer(json).encode("tostring"));
  });
});

describe("messages", () => {
  const long = "word ".repeat(1_000_000);
  const calls: [string, () => unknown][] = [
    ["an option's value", () => new BlipImageProcessor({ imageMean: long as unknown as number })],
    ["a text", () => new BertTokenizer(makeTokenizerJson()).encode(long, { maxLength: 8 })],
    ["a text's length", () => new BertTokenizer(makeTokenizerJson()).encode("a", { maxLength: long as never })],
    ["a token", () => new BertTokenizer({ ...makeTokenizerJson(), model: { vocab: { [long]: "x" } } })],
    ["a kind", () => new BertTokenizer({ ...makeTokenizerJson(), normalizer: { type: long } })],
    ["the error itself", () => Promise.reject(new NeuronBlipError("INVALID_INPUT", `It is ${long}: shorten it.`))],
    ["a directory", () => NeuronBlip.fromPretrained(long)],
    ["an option's name", () => NeuronBlip.fromPretrained(compiledModel, { [long]: 1 } as object)],
    ["a loading option", () => NeuronBlip.fromPretrained(compiledModel, { numModels: long as never })],
  ];
  for (const [what, call] of calls) {
    it(`have at most 1,000 characters with ${what} of megabytes in them`, async () => {
      assert.equal(await isSound(what, async () => call()), false);
    });
  }

  it("keep their reason where a value is cut out of the middle", () => {
    const { message } = new NeuronBlipError("INVALID_INPUT", `The text ${long} is no picture. Give a picture.`);
    assert.match(message, /^The text word word .*….* is no picture\. Give a picture\.$/);
  });
});
