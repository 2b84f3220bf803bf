import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AnswerOptions, type LogitsProcessor, NeuronBlip, NeuronBlipForQuestionAnswering } from "neuron-blip";
import { fails, fixture } from "../helpers.js";

const model = fixture("parity/small-batch-2/model");
const picture = fixture("pictures/astronaut.png");
const question = "dog?";

describe("the options of generation", () => {
  let blip: NeuronBlip;
  let eos: number;
  let bos: number;
  let vocabSize: number;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    await using replica = await NeuronBlipForQuestionAnswering.fromPretrained(model, { threads: 1 });
    ({ sepTokenId: eos, bosTokenId: bos, vocabSize } = replica.config);
  });
  after(() => blip.dispose());

  const tokensOf = async (options: AnswerOptions = {}) => (await blip.answer(picture, question, options)).tokenIds;

  it("lets processors of the user's change the scores, after the built-in ones, for greedy and beam search", async () => {
    const wanted = [200, 201, 202];
    const seen: number[][] = [];
    const only: LogitsProcessor = (sequence, scores) => {
      seen.push([...sequence]);
      // Comes last, so that it sees what was suppressed, and its word is final.
      assert.equal(scores[201], Number.NEGATIVE_INFINITY);
      const next = wanted[sequence.length - 1] ?? eos;
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[next] = 0;
    };
    const options = { logitsProcessors: [only], suppressTokens: [201] };
    assert.deepEqual(await tokensOf(options), [bos, ...wanted, eos]);
    assert.deepEqual(seen, [[bos], [bos, 200], [bos, 200, 201], [bos, ...wanted]]);
    assert.deepEqual(await tokensOf({ ...options, numBeams: 2 }), [bos, ...wanted, eos]);
  });

  it("ends a sequence where a criterion of the user's says so, for greedy and beam search", async () => {
    const long = await tokensOf({ minNewTokens: 8 });
    const stopAt = (length: number) => (sequence: readonly number[]) => sequence.length === length;
    const options = { minNewTokens: 8, stoppingCriteria: [stopAt(9), stopAt(5)] };
    assert.deepEqual(await tokensOf(options), long.slice(0, 5));
    const beams = await blip.answer(picture, question, { ...options, numBeams: 3, numReturnSequences: 3 });
    for (const { tokenIds } of [beams, ...(beams.alternatives ?? [])]) assert.equal(tokenIds.length, 5);
  });

  it("passes on what a processor or a criterion throws, and the next call works", async () => {
    const expected = await tokensOf();
    const reason = new Error("of the user's");
    const thrower = () => {
      throw reason;
    };
    for (const options of [{ logitsProcessors: [thrower] }, { stoppingCriteria: [thrower] }]) {
      await assert.rejects(tokensOf(options), (error) => error === reason);
      assert.deepEqual(await tokensOf(), expected);
    }
  });

  it("keeps each step's scores with outputScores, and says which were chosen", async () => {
    const plain = await blip.answer(picture, question);
    assert(!("scores" in plain));
    const greedy = await blip.answer(picture, question, { outputScores: true, suppressTokens: [250] });
    assert.equal(greedy.scores?.length, greedy.tokenIds.length - 1);
    for (const [step, scores] of (greedy.scores ?? []).entries()) {
      assert.equal(scores.length, vocabSize);
      assert.equal(scores[250], Number.NEGATIVE_INFINITY, "the scores are the processed ones");
      assert.equal(scores.indexOf(Math.max(...scores)), greedy.tokenIds[step + 1]);
      const sum = Math.log(scores.reduce((total, score) => total + Math.exp(score), 0));
      const chosen = (scores[greedy.tokenIds[step + 1] as number] as number) - sum;
      assert(Math.abs(chosen - (greedy.tokenLogProbabilities[step] as number)) < 1e-5);
    }
    const beams = await blip.answer(picture, question, { outputScores: true, numBeams: 3, numReturnSequences: 2 });
    for (const { scores = [], tokenIds, tokenLogProbabilities } of [beams, ...(beams.alternatives ?? [])]) {
      const chosen = scores.map((ofStep, step) => ofStep[tokenIds[step + 1] as number]);
      assert.deepEqual(chosen, tokenLogProbabilities);
    }
  });

  it("fills the places of beams that cannot differ as transformers does: with repetitions that have its score of none", async () => {
    const onlyEnd: LogitsProcessor = (_, scores) => {
      scores.fill(Number.NEGATIVE_INFINITY, 0, eos).fill(Number.NEGATIVE_INFINITY, eos + 1);
    };
    const options = { numBeams: 3, numReturnSequences: 3, logitsProcessors: [onlyEnd] };
    const { alternatives = [], ...best } = await blip.answer(picture, question, options);
    assert.deepEqual(best.tokenIds, [bos, eos]);
    assert(best.sequenceScore > -100);
    for (const { tokenIds, sequenceScore } of alternatives) {
      assert.deepEqual(tokenIds, [bos, eos]);
      assert.equal(sequenceScore, -1e9);
    }
  });

  it("says so where the processors leave no token", async () => {
    const none: LogitsProcessor = (_, scores) => {
      scores.fill(Number.NEGATIVE_INFINITY);
    };
    for (const options of [{}, { numBeams: 3 }, { doSample: true }]) {
      await assert.rejects(
        tokensOf({ ...options, logitsProcessors: [none] }),
        fails("EXECUTION_FAILED", /No token can come next/),
      );
    }
    assert((await tokensOf()).length > 1);
  });

  it("has the answers of beam search best first, none twice", async () => {
    const { alternatives = [], ...best } = await blip.answer(picture, question, { numBeams: 4, numReturnSequences: 4 });
    const all = [best, ...alternatives];
    assert.equal(all.length, 4);
    assert.equal(new Set(all.map(({ tokenIds }) => tokenIds.join())).size, 4);
    for (const [i, { sequenceScore }] of all.entries()) {
      assert(i === 0 || sequenceScore <= (all[i - 1] as typeof best).sequenceScore);
    }
  });

  it("takes what generation_config.json sets, unless the call says otherwise", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-"));
    try {
      cpSync(model, directory, { recursive: true });
      const path = join(directory, "generation_config.json");
      const json = JSON.parse(readFileSync(path, "utf8"));
      const [, said] = (await tokensOf()) as [number, number];
      const settings = { num_beams: 3, max_new_tokens: 4, min_new_tokens: 4, suppress_tokens: [said] };
      writeFileSync(path, JSON.stringify({ ...json, ...settings, bad_words_ids: null }));
      await using own = await NeuronBlip.fromPretrained(directory, { threads: 1 });
      const tokensOfOwn = async (options: AnswerOptions) => (await own.answer(picture, question, options)).tokenIds;
      const options = { numBeams: 3, maxNewTokens: 4, minNewTokens: 4, suppressTokens: [said] };
      assert.deepEqual(await tokensOfOwn({}), await tokensOf(options));
      assert.notDeepEqual(await tokensOfOwn({}), await tokensOf({ ...options, numBeams: 1 }), "the beams tell nothing");
      assert.deepEqual(await tokensOfOwn({ numBeams: 1 }), await tokensOf({ ...options, numBeams: 1 }));
      const plain = { numBeams: 1, maxNewTokens: 20, minNewTokens: 0, suppressTokens: [] };
      assert.deepEqual(await tokensOfOwn(plain), await tokensOf());
      assert.equal(
        (await tokensOfOwn({ maxLength: 4, minNewTokens: 0 })).length <= 4,
        true,
        "the call's length counts",
      );
      assert.deepEqual(
        await tokensOfOwn({ numBeams: undefined } as object),
        await tokensOfOwn({}),
        "undefined is unset",
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("cuts defaults of generation_config.json to what was compiled, and refuses a call that asks for more", async () => {
    await assert.rejects(tokensOf({ maxNewTokens: 21 }), fails("INVALID_INPUT", /--answer-length 21/));
    await assert.rejects(tokensOf({ maxLength: 22 }), fails("INVALID_INPUT", /--answer-length 21/));
    assert.equal((await tokensOf({ maxNewTokens: 20, minNewTokens: 20 })).length, 21);
  });

  const bad: Record<string, unknown[]> = {
    maxLength: [0, 1, 2.5, "5", null],
    maxNewTokens: [0, -1, Number.NaN],
    minLength: [-1, 0.5],
    minNewTokens: [-1, "2"],
    numBeams: [0, 1.5, "3"],
    lengthPenalty: [Number.NaN, Number.POSITIVE_INFINITY, "1"],
    earlyStopping: ["always", 1, null],
    numReturnSequences: [0, 2, 2.5],
    doSample: [1, "true"],
    temperature: [0, -1, Number.NaN],
    topK: [-1, 1.5],
    topP: [0, 1.1],
    minP: [-0.1, 1.1],
    typicalP: [0, 2],
    seed: [-1, 0.5, 2 ** 32],
    repetitionPenalty: [0, -1],
    noRepeatNgramSize: [-1, 1.5],
    badWordsIds: [[5], [[]], [[-1]], [[1e6]], "x"],
    sequenceBias: [[[5, 1]], [[[], 1]], [[[5]]], [[[1e6], 1]], { 5: 1 }],
    forcedBosTokenId: [-1, 1.5, 1e6],
    forcedEosTokenId: [-1, [], [1e6]],
    suppressTokens: [5, [-1], [1e6]],
    beginSuppressTokens: [5, [0.5], [1e6]],
    logitsProcessors: [() => {}, [5]],
    stoppingCriteria: [() => true, ["stop"]],
    outputScores: [1],
    streamer: [{}, null, { put: () => {} }],
    questionMask: ["zeros", 1],
  };
  for (const [name, values] of Object.entries(bad)) {
    it(`refuses ${name} of ${values.map((value) => JSON.stringify(value) ?? String(value)).join(", ")}`, async () => {
      for (const value of values) {
        await assert.rejects(tokensOf({ [name]: value }), fails("INVALID_INPUT", name.startsWith("q") ? /mask/i : /./));
      }
      assert.equal((await tokensOf({ maxNewTokens: 1 })).length, 2, "the next call works");
    });
  }

  it("refuses options that do not exist, and those that contradict each other", async () => {
    await assert.rejects(
      tokensOf({ num_beams: 3 } as object),
      fails("INVALID_INPUT", /no generation option "num_beams"/),
    );
    await assert.rejects(tokensOf({ doSample: true, numBeams: 2 }), fails("INVALID_INPUT", /does not sample/));
    await assert.rejects(tokensOf({ numBeams: 2, numReturnSequences: 3 }), fails("INVALID_INPUT", /above numBeams 2/));
    const streamer = { put: () => {}, end: () => {} };
    for (const options of [{ numBeams: 2 }, { doSample: true, numReturnSequences: 2 }]) {
      await assert.rejects(tokensOf({ ...options, streamer }), fails("INVALID_INPUT", /streamer/));
    }
    assert.equal((await tokensOf({ maxNewTokens: 1 })).length, 2);
  });
});
