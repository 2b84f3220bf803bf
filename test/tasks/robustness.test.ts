import assert from "node:assert/strict";
import { join } from "node:path";
import {
  BlipImageProcessor,
  BlipProcessor,
  DecoderPaddedGenerator,
  Executor,
  loadImage,
  NeuronBlip,
  NeuronBlipError,
  NeuronBlipForQuestionAnswering,
  Tensor,
  TextStreamer,
  TorchModule,
  VisionModelWrapper,
} from "neuron-blip";
import { batchesOf } from "../../dist/torch/tensor.js";
import { compiledModel, demoModel, fails, fixture } from "../helpers.js";

const model = fixture("parity/small-batch-2/model");
const cat = fixture("pictures/chelsea.png");
const coffee = fixture("pictures/coffee.png");
const short = { maxNewTokens: 2 };

/** Runs a call with a method replaced. */
async function withMethod<T extends object, Name extends keyof T>(
  owner: T,
  name: Name,
  replace: (original: T[Name]) => T[Name],
  call: () => Promise<unknown>,
): Promise<void> {
  const original = owner[name];
  owner[name] = replace(original);
  try {
    await call();
  } finally {
    owner[name] = original;
  }
}

describe("pictures that were looked at", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1, pictureCache: false });
  });
  after(() => blip.dispose());

  it("fail alone with `settled`, disposed or looked at by another model", async () => {
    await using other = await NeuronBlip.fromPretrained(demoModel, { threads: 1 });
    using good = await blip.encodeImage(cat);
    using foreign = await other.encodeImage(cat);
    const gone = await blip.encodeImage(cat);
    gone.dispose();
    const expected = await blip.answer(good, "dog?", short);
    for (const [bad, code] of [
      [gone, "DISPOSED"],
      [foreign, "INVALID_INPUT"],
    ] as const) {
      const [first, second, third] = await blip.answer([good, bad, coffee], "dog?", { ...short, settled: true });
      assert.deepEqual(first, { status: "fulfilled", value: expected });
      assert(second?.status === "rejected");
      fails(code)(second.reason);
      assert.equal(third?.status, "fulfilled");
      await assert.rejects(blip.answer([good, bad], "dog?", short), fails(code));
    }
  });

  it("are refused as one batch where their shapes differ, instead of being filled up with zeros", async () => {
    await using replica = await NeuronBlipForQuestionAnswering.fromPretrained(model, { threads: 1 });
    const { imageTokens, visionHiddenSize } = replica.shapes;
    const { inputIds, attentionMask } = blip.processor.processText(["dog?", "dog?"]);
    const whole = Tensor.zeros("float32", [1, imageTokens, visionHiddenSize]);
    const smaller = Tensor.zeros("float32", [1, imageTokens - 1, visionHiddenSize]);
    const generated = replica.generate({ inputIds, attentionMask, imageEmbeds: [whole, smaller] }, short);
    await assert.rejects(generated, fails("INVALID_INPUT", /one shape/));
  });

  it("that the model fails with are each item's error with `settled`", async () => {
    const fail = () => async () => {
      throw new NeuronBlipError("EXECUTION_FAILED", "no");
    };
    await withMethod(VisionModelWrapper.prototype, "forward", fail, async () => {
      const outcomes = await blip.answer([cat, coffee], "dog?", { ...short, settled: true });
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason.code),
        ["EXECUTION_FAILED", "EXECUTION_FAILED"],
      );
      await assert.rejects(blip.answer([cat, coffee], "dog?", short), fails("EXECUTION_FAILED"));
    });
  });

  it("are asked any number of questions, some hundreds at a time, so that memory has an end", async () => {
    const counts: number[] = [];
    const questions = Array.from(
      { length: 300 },
      (_, i) => ["dog?", "what is it?", "is it day or night?"][i % 3] as string,
    );
    const expected = await blip.answer(cat, questions.slice(0, 3), short);
    const count = (generateRows: NeuronBlipForQuestionAnswering["generateRows"]) =>
      function (this: NeuronBlipForQuestionAnswering, ...args: Parameters<typeof generateRows>) {
        counts.push(args[0].length);
        return generateRows.apply(this, args);
      };
    await withMethod(NeuronBlipForQuestionAnswering.prototype, "generateRows", count, async () => {
      const answers = await blip.answer(cat, questions, short);
      assert.deepEqual(
        answers.map(({ tokenIds }) => tokenIds),
        questions.map((_, i) => expected[i % 3]?.tokenIds),
      );
    });
    assert.equal(
      counts.reduce((sum, rows) => sum + rows, 0),
      300,
    );
    assert(Math.max(...counts) <= 256, `${counts}`);
  });
});

describe("calls that are aborted", () => {
  it("stop ranking before the next batch of candidates, with the part that --rank makes too", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    assert.equal(blip.rankingPart, "text_decoder_all_positions");
    const stop = new AbortController();
    let runs = 0;
    const abortFirst = (forward: TorchModule["forward"]) =>
      function (this: TorchModule, inputs: readonly Tensor[]) {
        if (/all_positions/.test(this.path)) {
          runs++;
          stop.abort();
        }
        return forward.call(this, inputs);
      } as TorchModule["forward"];
    await withMethod(TorchModule.prototype, "forward", abortFirst, async () => {
      const candidates = ["red", "blue", "green", "yes", "no", "a boat"];
      await assert.rejects(blip.rank(cat, "dog?", candidates, { signal: stop.signal }), fails("ABORTED"));
    });
    assert.equal(runs, 1);
  });

  it("do not wait for a failed replica to come back", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1, reloadDelayMs: 3_600_000 });
    const stop = new AbortController();
    const fail = () => async () => {
      throw new NeuronBlipError("NEURON_EXECUTION", "a made-up failure", { status: 1202 });
    };
    await withMethod(VisionModelWrapper.prototype, "forward", fail, async () => {
      blip.once("replicaReloading", () => stop.abort());
      await assert.rejects(blip.answer(cat, "dog?", { signal: stop.signal }), fails("ABORTED"));
    });
    await assert.rejects(blip.answer(cat, "dog?", { signal: AbortSignal.abort() }), fails("ABORTED"));
  });
});

describe("generating for many rows", () => {
  it("lets the event loop go on between the rows of a step", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    let turns = 0;
    const seen: number[] = [];
    const slow = () => {
      seen.push(turns);
      for (const until = performance.now() + 20; performance.now() < until; );
    };
    const questions = ["dog?", "what is it?", "is it day?", "is it night?", "where is it?", "a cup?"];
    const ticking = setInterval(() => turns++, 0);
    try {
      await blip.answer(cat, questions, { maxNewTokens: 1, logitsProcessors: [slow] });
    } finally {
      clearInterval(ticking);
    }
    assert.equal(seen.length, questions.length);
    assert((seen.at(-1) as number) > (seen[0] as number), `${seen}`);
  });
});

describe("the least length of an answer", () => {
  it("is that of minNewTokens where minLength is given too, as in transformers", async () => {
    await using blip = await NeuronBlip.fromPretrained(demoModel, { threads: 1 });
    const length = async (options: object) =>
      (await blip.answer(cat, "what color is the circle?", options)).tokenIds.length;
    const natural = await length({});
    assert(natural < 9, `${natural}`);
    assert((await length({ minLength: 9 })) >= 9);
    assert.equal(await length({ minLength: 9, minNewTokens: 1 }), natural);
  });
});

describe("options that would do harm or nothing", () => {
  it("are refused: of loading, streaming, ranking and generating", async () => {
    for (const reloadDelayMs of [Number.NaN, -1, "1000", Number.POSITIVE_INFINITY]) {
      const load = NeuronBlip.fromPretrained(model, { threads: 1, reloadDelayMs: reloadDelayMs as number });
      await assert.rejects(load, fails("INVALID_INPUT", /reloadDelayMs/));
    }
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    const streamer = { put: () => {}, end: () => {} };
    await assert.rejects(blip.stream(cat, "dog?", { streamer } as object).next(), fails("INVALID_INPUT", /streamer/));
    const labelSmoothing = "0.5" as unknown as number;
    await assert.rejects(blip.rank(cat, "dog?", ["red"], { labelSmoothing }), fails("INVALID_INPUT", /0\.5/));
    for (const bias of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const asked = blip.answer(cat, "dog?", { ...short, sequenceBias: [[[5], bias]] });
      await assert.rejects(asked, fails("INVALID_INPUT", /sequenceBias/));
    }
  });

  it("are refused where they do not exist, and where a signal is none, and the next call works", async () => {
    for (const [options, message] of [
      [{ numModel: 2 }, /no option "numModel" of fromPretrained/],
      [{ cores: "first" }, /cores must be/],
    ] as const) {
      await assert.rejects(NeuronBlip.fromPretrained(model, options as object), fails("INVALID_INPUT", message));
    }
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    const signal = 5 as unknown as AbortSignal;
    await assert.rejects(blip.answer(cat, "dog?", { signal }), fails("INVALID_INPUT", /AbortSignal, not 5/));
    await assert.rejects(blip.stream(cat, "dog?", { signal }).next(), fails("INVALID_INPUT", /AbortSignal/));
    await assert.rejects(blip.encodeImage(cat, { sginal: signal } as object), fails("INVALID_INPUT", /"sginal"/));
    assert.equal(typeof (await blip.answer(cat, "dog?", short)).answer, "string");
  });
});

describe("what stands for options and is no object", () => {
  const none = null as unknown as object;

  it("is refused by every call that takes options", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    const { processor } = blip;
    const vision = join(model, "vision_model.pt");
    const calls: Record<string, () => unknown> = {
      fromPretrained: () => NeuronBlip.fromPretrained(model, none),
      "one replica": () => NeuronBlipForQuestionAnswering.fromPretrained(model, none),
      processor: () => BlipProcessor.fromPretrained(model, none),
      answer: () => blip.answer(cat, "dog?", none),
      caption: () => blip.caption(cat, none),
      rank: () => blip.rank(cat, "dog?", ["red"], none),
      stream: () => blip.stream(cat, "dog?", none).next(),
      match: () => blip.match(cat, "dog", none),
      encodeImage: () => blip.encodeImage(cat, none),
      loadImage: () => loadImage(cat, none),
      processImages: () => processor.processImages(cat, none),
      processText: () => processor.processText("dog?", none),
      encode: () => processor.tokenizer.encode("dog?", none),
      decode: () => processor.tokenizer.decode([1], none),
      "image processor": () => new BlipImageProcessor(none),
      "a module": () => TorchModule.load(vision, none),
      "an executor": () => new Executor(none),
      "a streamer": () => new TextStreamer(processor, none),
    };
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(async () => call(), fails("INVALID_INPUT", /are an object, not null/), name);
    }
    assert.equal(typeof (await blip.answer(cat, "dog?", short)).answer, "string");
  });

  it("and limits that are no numbers take no decoder with them", async () => {
    for (let call = 0; call < 8; call++) {
      const maxPixels = 10n as unknown as number;
      await assert.rejects(loadImage(cat, { maxPixels }), fails("INVALID_INPUT", /maxPixels.*not 10n/));
    }
    assert.equal((await loadImage(cat)).channels, 3);
  });
});

describe("compiled batches", () => {
  /** How many calls of the decoder an action takes. The model was compiled for batches of 2. */
  async function decoderCalls(action: () => Promise<unknown>): Promise<number> {
    let calls = 0;
    const count = (original: DecoderPaddedGenerator["forward"]) =>
      function (this: DecoderPaddedGenerator, ...args: Parameters<DecoderPaddedGenerator["forward"]>) {
        calls++;
        return original.apply(this, args);
      };
    await withMethod(DecoderPaddedGenerator.prototype, "forward", count, action);
    return calls;
  }

  it("hold several rows and several beams, so that a step takes as few calls as there can be", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    const step = { maxNewTokens: 2, minNewTokens: 2 };
    // The first step has one live sequence for each row, the second one for each beam.
    assert.equal(await decoderCalls(() => blip.answer(cat, "dog?", { ...step, numBeams: 4 })), 1 + 2);
    assert.equal(await decoderCalls(() => blip.answer(cat, "dog?", { ...step, numBeams: 3 })), 1 + 2);
    assert.equal(await decoderCalls(() => blip.answer(cat, ["dog?", "cat?"], { ...step, numBeams: 3 })), 1 + 3);
    assert.equal(await decoderCalls(() => blip.answer(cat, ["dog?", "cat?", "day?"], step)), 2 + 2);
  });

  it("rank candidates with one call of the decoder, and of the other part one for each batch", async () => {
    await using blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    assert.equal(blip.rankingPart, "text_decoder_all_positions");
    const candidates = ["red", "red car", "a boat", "two", "green tree"];
    assert.equal(await decoderCalls(() => blip.rank(cat, "dog?", candidates)), 1);
  });

  it("rank candidates step by step without that part, a shared beginning once", async () => {
    await using blip = await NeuronBlip.fromPretrained(fixture("neuron/cpu"), { threads: 1 });
    assert.equal(blip.rankingPart, "text_decoder");
    const calls = (candidates: string[]) => decoderCalls(() => blip.rank(cat, "dog?", candidates));
    const one = await calls(["red car"]);
    assert.equal(await calls(["red car", "red car"]), one, "alike candidates");
    assert.equal(await calls(["red car", "red"]), one, "one that begins another");
    assert((await calls(["red car", "two"])) > one);
  });

  it("of several sizes are filled from the largest, and the rest run in the smallest that holds it", () => {
    const sizes = (count: number) => batchesOf(Array.from({ length: count }), [1, 4, 8]).map(({ size }) => size);
    assert.deepEqual([1, 2, 5, 9, 12, 16].map(sizes), [[1], [4], [8], [8, 1], [8, 4], [8, 8]]);
  });
});

describe("replicas on the CPU", () => {
  it("share one set of weights: each part is loaded once", async () => {
    let loads = 0;
    const count = (original: typeof TorchModule.load) =>
      function (this: typeof TorchModule, ...args: Parameters<typeof TorchModule.load>) {
        loads++;
        return original.apply(this, args);
      };
    await withMethod(TorchModule, "load", count, async () => {
      await using blip = await NeuronBlip.fromPretrained(compiledModel, { numModels: 3, threads: 1 });
      const questions = ["what is in the picture?", "how many shapes are there?", "is there a star?"];
      const answers = await Promise.all(questions.map((question) => blip.answer(coffee, question, short)));
      for (const [i, question] of questions.entries()) {
        assert.deepEqual(await blip.answer(coffee, question, short), answers[i]);
      }
    });
    assert.equal(loads, 3);
  });

  it("keep the weights until the last that uses them is disposed", async () => {
    await using executor = new Executor({ threads: 1 });
    const first = await TorchModule.load(fixture("modules/resnet.pt"));
    const second = first.shareOn(executor);
    const pixels = Tensor.zeros("float32", [1, 3, 32, 32]);
    const expected = await first.forward<Tensor>([pixels]);
    await first.dispose();
    await assert.rejects(first.forward([pixels]), fails("DISPOSED"));
    assert.throws(() => first.shareOn(executor), fails("DISPOSED"));
    assert.deepEqual((await second.forward<Tensor>([pixels])).data, expected.data);
    await second.dispose();
    await assert.rejects(second.forward([pixels]), fails("DISPOSED"));
  });
});
