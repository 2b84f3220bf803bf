import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BertTokenizer, BlipImageProcessor, BlipProcessor } from "neuron-blip";
import { fails, fixture } from "../helpers.ts";
import { makeTokenizerJson, readVocabulary } from "./bert-vocabulary.ts";

interface Goldens {
  encoded: { text: string; ids: number[]; truncated: number[] }[];
  decoded: { ids: number[]; plainWhole: string; plainSkipped: string; cleanWhole: string; cleanSkipped: string }[];
}

const goldens: Goldens = JSON.parse(readFileSync(fixture("tokenizer-goldens.json"), "utf8"));

describe("BertTokenizer", () => {
  const tokenizer = new BertTokenizer(makeTokenizerJson());
  const question = "how many dogs are in the picture?";
  const questionIds = [101, 2129, 2116, 6077, 2024, 1999, 1996, 3861, 1029, 102];

  it("has goldens of many scripts", () => {
    assert(goldens.encoded.length >= 100);
    assert.deepEqual(goldens.encoded[0], {
      text: question,
      ids: questionIds,
      truncated: goldens.encoded[0]?.truncated,
    });
  });

  it("encodes as BertTokenizerFast does", () => {
    for (const { text, ids } of goldens.encoded)
      assert.deepEqual(tokenizer.encode(text).ids, ids, JSON.stringify(text));
  });

  it("truncates as BertTokenizerFast does", () => {
    for (const { text, truncated } of goldens.encoded) {
      const { ids, attentionMask } = tokenizer.encode(text, { maxLength: 8, truncation: true });
      assert.deepEqual(ids, truncated, JSON.stringify(text));
      assert.deepEqual(attentionMask, new Array(truncated.length).fill(1));
    }
  });

  it("decodes as BertTokenizerFast does", () => {
    for (const { ids, plainWhole, plainSkipped, cleanWhole, cleanSkipped } of goldens.decoded) {
      const decode = (skipSpecialTokens: boolean, cleanUpTokenizationSpaces: boolean) =>
        tokenizer.decode(ids, { skipSpecialTokens, cleanUpTokenizationSpaces });
      assert.equal(decode(false, false), plainWhole);
      assert.equal(decode(true, false), plainSkipped);
      assert.equal(decode(false, true), cleanWhole);
      assert.equal(decode(true, true), cleanSkipped);
    }
  });

  it("decodes nothing to nothing, skips special tokens by default, and takes int64", () => {
    assert.equal(tokenizer.decode([]), "");
    assert.equal(tokenizer.decode(BigInt64Array.of(30522n, 1015n, 102n)), "1");
    assert.throws(() => tokenizer.decode([1.5]), fails("INVALID_INPUT", /1\.5/));
    assert.throws(() => tokenizer.decode([-1]), fails("INVALID_INPUT", /-1/));
  });

  it("cleans up spaces where tokenizer_config.json says so", () => {
    const ids = tokenizer.encode("it's").ids;
    assert.equal(tokenizer.decode(ids), "it ' s");
    const cleaning = new BertTokenizer(makeTokenizerJson(), { clean_up_tokenization_spaces: true });
    assert.equal(cleaning.decode(ids), "it's");
    assert.equal(cleaning.decode(ids, { cleanUpTokenizationSpaces: false }), "it ' s");
  });

  it("drops lone surrogates, which Python's tokenizer cannot be given", () => {
    assert.deepEqual(tokenizer.encode("do\ud800gs").ids, tokenizer.encode("dogs").ids);
  });

  it("pads on the right", () => {
    const { ids, attentionMask } = tokenizer.encode("a dog", { maxLength: 6, padding: true });
    assert.deepEqual(ids, [101, 1037, 3899, 102, 0, 0]);
    assert.deepEqual(attentionMask, [1, 1, 1, 1, 0, 0]);
  });

  it("refuses what is too long by default, and fits what is just long enough", () => {
    assert.deepEqual(tokenizer.encode(question, { maxLength: 10 }).ids, questionIds);
    assert.throws(
      () => tokenizer.encode(question, { maxLength: 9 }),
      fails("INPUT_TOO_LONG", /10 tokens.*limit is 9.*truncation/),
    );
    assert.throws(
      () => tokenizer.encode(question, { maxLength: 1, truncation: true }),
      fails("INVALID_INPUT", /maxLength/),
    );
    assert.throws(() => tokenizer.encode(question, { padding: true }), fails("INVALID_INPUT", /maxLength/));
    for (const value of [undefined, null, 5, ["a"], {}]) {
      assert.throws(() => tokenizer.encode(value as unknown as string), fails("INVALID_INPUT", /must be a string/));
    }
  });

  it("takes a word of more than 100 characters for one unknown token, however long it is", () => {
    const unknown = [101, 100, 102];
    for (const length of [101, 801, 100_000]) {
      assert.deepEqual(tokenizer.encode("x".repeat(length), { maxLength: 3 }).ids, unknown);
    }
  });

  it("refuses a tokenizer that is not BERT's", () => {
    const json = makeTokenizerJson();
    assert.throws(
      () => new BertTokenizer({ ...json, normalizer: { type: "NFC" } }),
      fails("ARTIFACT_MISMATCH", /normalizer is "NFC"/),
    );
    assert.throws(() => new BertTokenizer({}), fails("ARTIFACT_MISMATCH", /model is null/));
    const model = { ...(json.model as object), vocab: { dog: 0 } };
    assert.throws(() => new BertTokenizer({ ...json, model, added_tokens: [] }), fails("ARTIFACT_MISMATCH", /\[CLS\]/));
  });

  describe("fromPretrained", () => {
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), "neuron-blip-tokenizer-"));
    });
    afterEach(() => rm(directory, { recursive: true }));

    it("reads tokenizer.json and tokenizer_config.json", async () => {
      await writeFile(join(directory, "tokenizer.json"), JSON.stringify(makeTokenizerJson()));
      const config = { clean_up_tokenization_spaces: true, pad_token: { content: "[PAD]", __type: "AddedToken" } };
      await writeFile(join(directory, "tokenizer_config.json"), JSON.stringify(config));
      const loaded = await BertTokenizer.fromPretrained(directory);
      assert.deepEqual(loaded.encode(question).ids, questionIds);
      assert.equal(loaded.decode(loaded.encode("it's").ids), "it's");
    });

    it("reads a vocab.txt alone", async () => {
      await writeFile(join(directory, "vocab.txt"), `${readVocabulary().join("\n")}\n`);
      const loaded = await BertTokenizer.fromPretrained(directory);
      for (const { text, ids } of goldens.encoded) assert.deepEqual(loaded.encode(text).ids, ids);
    });

    it("says what is missing or broken", async () => {
      await assert.rejects(BertTokenizer.fromPretrained(directory), fails("ARTIFACT_NOT_FOUND", /no tokenizer\.json/));
      await writeFile(join(directory, "tokenizer.json"), "{");
      await assert.rejects(BertTokenizer.fromPretrained(directory), fails("ARTIFACT_CORRUPT", /not valid JSON/));
    });
  });
});

describe("BlipProcessor.processText", () => {
  const processor = new BlipProcessor(new BlipImageProcessor(), new BertTokenizer(makeTokenizerJson()));

  it("makes tensors, padded to the longest question", () => {
    const { inputIds, attentionMask } = processor.processText(["a dog", "a red dog"]);
    assert.deepEqual(inputIds.shape, [2, 5]);
    assert.deepEqual([...inputIds.data], [101, 1037, 3899, 102, 0, 101, 1037, 2417, 3899, 102].map(BigInt));
    assert.deepEqual([...attentionMask.data], [1, 1, 1, 1, 0, 1, 1, 1, 1, 1].map(BigInt));
  });

  it("pads to maxLength where asked to", () => {
    const { inputIds, attentionMask } = processor.processText("a dog", { maxLength: 6, padding: "max_length" });
    assert.deepEqual([...inputIds.data], [101n, 1037n, 3899n, 102n, 0n, 0n]);
    assert.deepEqual([...attentionMask.data], [1n, 1n, 1n, 1n, 0n, 0n]);
  });

  it("refuses questions without words, and works afterwards", () => {
    for (const padding of ["longest", "max_length"] as const) {
      for (const text of ["", "   ", "\n\t", "\u200b"]) {
        assert.throws(
          () => processor.processText(["a dog", text], { maxLength: 8, padding }),
          fails("INVALID_INPUT", /has no words/),
        );
      }
    }
    assert.throws(() => processor.processText([]), fails("INVALID_INPUT"));
    assert.throws(() => processor.processText(7 as unknown as string), fails("INVALID_INPUT"));
    assert.throws(() => processor.processText([7 as unknown as string]), fails("INVALID_INPUT", /must be a string/));
    assert.equal(processor.processText("a dog").inputIds.size, 4);
    assert.equal(processor.decode(processor.processText("a dog").inputIds.data), "a dog");
  });

  it("keeps to the limit, or cuts", () => {
    const long = "a dog and a cat and a bird";
    assert.throws(() => processor.processText(long, { maxLength: 6 }), fails("INPUT_TOO_LONG"));
    const { inputIds } = processor.processText(long, { maxLength: 6, truncation: true });
    assert.deepEqual([...inputIds.data], [101, 1037, 3899, 1998, 1037, 102].map(BigInt));
  });
});
