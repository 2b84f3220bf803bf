import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BlipProcessor,
  type GeneratedSequence,
  type GenerateOptions,
  NeuronBlipForQuestionAnswering,
  Tensor,
  TorchModule,
  type TorchOutput,
} from "neuron-blip";
import { fails, fixture } from "../helpers.js";

/** Compiled with --greedy-tokens 4; test/parity/question-answering.test.ts compares its answers with transformers'. */
const withPart = fixture("parity/greedy-part/model");
const PART_TOKENS = 4;
const PICTURES = ["astronaut", "chelsea", "coffee"].map((name) => fixture(`pictures/${name}.png`));
const QUESTIONS = ["how many dogs are in the picture?", "dog?", "is there a woman and a boat near the river, or not?"];

interface Calls {
  greedy: number;
  steps: number;
}

/** Counts the calls of the two decoders meanwhile; `change` may replace what the greedy part returns. */
async function counting(
  call: (calls: Calls) => Promise<unknown>,
  change: (output: TorchOutput) => TorchOutput = (output) => output,
): Promise<Calls> {
  const calls = { greedy: 0, steps: 0 };
  const original = TorchModule.prototype.forward;
  TorchModule.prototype.forward = async function (this: TorchModule, inputs: readonly Tensor[]) {
    const isGreedy = /text_decoder_greedy/.test(this.path);
    if (isGreedy) calls.greedy++;
    else if (/text_decoder/.test(this.path)) calls.steps++;
    const output = await original.call(this, inputs);
    return isGreedy ? change(output) : output;
  } as typeof original;
  try {
    await call(calls);
    return calls;
  } finally {
    TorchModule.prototype.forward = original;
  }
}

describe("the part that begins answers", () => {
  const work = mkdtempSync(join(tmpdir(), "neuron-blip-greedy-"));
  let blip: NeuronBlipForQuestionAnswering;
  let stepwise: NeuronBlipForQuestionAnswering;
  let imageEmbeds: Tensor<"float32">[];
  let questions: { inputIds: Tensor; attentionMask: Tensor };

  /** A copy of the model with another manifest. */
  function changed(name: string, change: (parts: Record<string, { inputs: { shape: number[] }[] }>) => void): string {
    const directory = join(work, name);
    cpSync(withPart, directory, { recursive: true });
    const path = join(directory, "neuron_blip.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    change(manifest.parts);
    writeFileSync(path, JSON.stringify(manifest));
    return directory;
  }

  before(async () => {
    const without = changed("without", (parts) => {
      for (const name of Object.keys(parts)) if (/greedy/.test(name)) delete parts[name];
    });
    blip = await NeuronBlipForQuestionAnswering.fromPretrained(withPart, { threads: 1 });
    stepwise = await NeuronBlipForQuestionAnswering.fromPretrained(without, { threads: 1 });
    const processor = await BlipProcessor.fromPretrained(withPart);
    imageEmbeds = await blip.encodeImages(await processor.processImages(PICTURES));
    questions = processor.processText(QUESTIONS);
  });
  after(async () => {
    await Promise.all([blip?.dispose(), stepwise?.dispose()]);
    rmSync(work, { recursive: true });
  });

  /** The n-th of nine questions: each about each picture. */
  function ask(model: NeuronBlipForQuestionAnswering, rows: readonly number[], options: GenerateOptions = {}) {
    const width = questions.inputIds.shape[1] as number;
    const pick = (tensor: Tensor) => {
      const of = (n: number) => [...(tensor.data as BigInt64Array).subarray((n % 3) * width, ((n % 3) + 1) * width)];
      return Tensor.from(BigInt64Array.from(rows.flatMap(of)), [rows.length, width]);
    };
    const inputs = {
      inputIds: pick(questions.inputIds),
      attentionMask: pick(questions.attentionMask),
      imageEmbeds: rows.map((n) => imageEmbeds[Math.floor(n / 3)] as Tensor),
    };
    return model.generate(inputs, options);
  }

  const newTokens = ({ tokenLogProbabilities }: GeneratedSequence) => tokenLogProbabilities.length;

  it("takes the place of the first steps, and single steps follow where the answer goes on", async () => {
    const lengths = new Set<number>();
    for (let n = 0; n < 9; n++) {
      for (const options of [{}, { questionMask: "ones" }, { maxNewTokens: 2 }] as const) {
        let count = 0;
        const calls = await counting(async () => {
          const [sequence] = await ask(blip, [n], options);
          count = newTokens(sequence as GeneratedSequence);
        });
        lengths.add(count);
        assert.deepEqual(calls, { greedy: 1, steps: Math.max(0, count - PART_TOKENS) }, `${count} tokens`);
      }
    }
    assert(Math.min(...lengths) < PART_TOKENS && Math.max(...lengths) > PART_TOKENS, `lengths ${[...lengths]}`);
  });

  it("gives the same tokens and scores as single steps, for every limit and number of rows", async () => {
    const rows = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    const ends = new Set<boolean>();
    for (const options of [
      ...[1, 2, 3, 4, 5, 6, 20].map((maxNewTokens) => ({ maxNewTokens })),
      { maxLength: 4 },
      { questionMask: "ones" },
      {},
    ] as const) {
      // One row takes a batch of 1, two or three the batch of 3, all nine several.
      for (const part of [...rows.map((n) => [n]), [1, 8], [2, 7, 4], rows]) {
        const [ours = [], theirs = []] = [await ask(blip, part, options), await ask(stepwise, part, options)];
        assert.deepEqual(
          ours.map(({ tokenIds }) => tokenIds),
          theirs.map(({ tokenIds }) => tokenIds),
        );
        for (const [i, { tokenLogProbabilities, sumLogProbability, tokenIds }] of ours.entries()) {
          ends.add(tokenIds.at(-1) === blip.config.sepTokenId);
          for (const [k, value] of tokenLogProbabilities.entries()) {
            const difference = Math.abs(value - (theirs[i]?.tokenLogProbabilities[k] as number));
            assert(difference <= 1e-5, `row ${i}, token ${k}: scores differ by ${difference}`);
          }
          assert.equal(tokenLogProbabilities.length, theirs[i]?.tokenLogProbabilities.length);
          assert(Math.abs(sumLogProbability - (theirs[i]?.sumLogProbability as number)) <= 1e-4);
        }
      }
    }
    assert.equal(ends.size, 2, "some answers must end by themselves and some by their limit");
  });

  it("runs rows of different ends in one call for each compiled batch", async () => {
    const calls = await counting(() => ask(blip, [0, 1, 2, 3, 4, 5, 6, 7], { maxNewTokens: PART_TOKENS }));
    assert.deepEqual(calls, { greedy: 3, steps: 0 });
  });

  it("is not used where more than the most likely tokens are wanted", async () => {
    for (const options of [
      { numBeams: 2 },
      { doSample: true, seed: 1 },
      { minNewTokens: 2 },
      { minLength: 3 },
      { repetitionPenalty: 1.2 },
      { noRepeatNgramSize: 2 },
      { suppressTokens: [200] },
      { beginSuppressTokens: [200] },
      { badWordsIds: [[200]] },
      { sequenceBias: [[[200], 1]] },
      { forcedBosTokenId: 150 },
      { forcedEosTokenId: 102 },
      { logitsProcessors: [() => {}] },
      { stoppingCriteria: [() => false] },
      { outputScores: true },
    ] satisfies GenerateOptions[]) {
      const tokens: number[][][] = [];
      const calls = await counting(async () => {
        for (const model of [blip, stepwise]) {
          tokens.push((await ask(model, [4], { maxNewTokens: 6, ...options })).map(({ tokenIds }) => tokenIds));
        }
      });
      assert.equal(calls.greedy, 0, JSON.stringify(options));
      assert.deepEqual(tokens[0], tokens[1]);
    }
  });

  it("tells a streamer each token, the prompt first", async () => {
    for (const maxNewTokens of [2, 9]) {
      const put: (readonly number[])[] = [];
      let ended = 0;
      const streamer = { put: (ids: readonly number[]) => void put.push(ids), end: () => void ended++ };
      const [sequence] = await ask(blip, [0], { maxNewTokens, streamer });
      assert.deepEqual(
        put,
        sequence?.tokenIds.map((id) => [id]),
      );
      assert.equal(put.length, maxNewTokens + 1);
      assert.equal(ended, 1);
    }
  });

  it("stops between calls where its AbortSignal is aborted, and answers the next question", async () => {
    const stop = new AbortController();
    const aborting = (output: TorchOutput) => {
      stop.abort();
      return output;
    };
    const calls = await counting(
      () => assert.rejects(ask(blip, [0, 1, 2, 3], { signal: stop.signal }), fails("ABORTED")),
      aborting,
    );
    assert.deepEqual(calls, { greedy: 1, steps: 0 });
    const [sequence] = await ask(blip, [0], { maxNewTokens: 3 });
    assert.equal(sequence && newTokens(sequence), 3);
  });

  it("refuses what is no answer: numbers that are none, tokens that do not exist, other outputs", async () => {
    const tokens = (...ids: bigint[]) => Tensor.from(BigInt64Array.from(ids), [1, ids.length]);
    const scores = (...values: number[]) => Tensor.from(Float32Array.from(values), [1, values.length]);
    for (const [output, code] of [
      [{ tokens: tokens(5n, 6n), log_probabilities: scores(-1, Number.NaN) }, "EXECUTION_FAILED"],
      [{ tokens: tokens(5n, 1_000_000n), log_probabilities: scores(-1, -1) }, "ARTIFACT_MISMATCH"],
      [{ tokens: tokens(5n, 6n), log_probabilities: scores(-1) }, "ARTIFACT_MISMATCH"],
      [{ tokens: tokens(5n, 6n) }, "ARTIFACT_MISMATCH"],
      [scores(-1, -1), "ARTIFACT_MISMATCH"],
    ] as const) {
      const call = () => assert.rejects(ask(blip, [0]), fails(code));
      assert.equal((await counting(call, () => output)).greedy, 1);
    }
    assert.equal((await ask(blip, [0])).length, 1);
  });

  it("is refused where its start is not one token", async () => {
    const directory = changed("contradiction", (parts) => {
      const [input] = parts.text_decoder_greedy?.inputs ?? [];
      if (input) input.shape = [1, 2];
    });
    await assert.rejects(
      NeuronBlipForQuestionAnswering.fromPretrained(directory, { threads: 1 }),
      fails("ARTIFACT_MISMATCH", /text_decoder_greedy\.pt takes \[1, 2\], and its lengths say \[1, 1\]/),
    );
  });
});
