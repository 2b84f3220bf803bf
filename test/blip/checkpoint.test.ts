// A checkpoint on the CPU, as transformers' save_pretrained writes it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Answer,
  BlipProcessor,
  type GeneratedSequence,
  NeuronBlip,
  NeuronBlipForQuestionAnswering,
  Tensor,
  TextDecoderCached,
  TextEncoderCached,
  TorchModule,
} from "neuron-blip";
import { loadReplica as loadParts, releaseReplica } from "../../dist/blip/load-replicas.js";
import { Checkpoint, type LoadedCheckpoint } from "../../dist/blip/parts/checkpoint/checkpoint.js";
import { featuresOf } from "../../dist/images/encoded-image.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";
import { assertAlike, fails, fixture } from "../helpers.js";
import { optionsOf } from "../parity/parity-cases.js";
import { readSafetensors } from "../parity/safetensors.js";

/** Made by scripts/parity/test-parity.mjs, which also has transformers' own answers. */
const parityCase = fixture("parity/checkpoint");
const whole = join(parityCase, "model");
const PICTURES = ["astronaut", "chelsea", "coffee"].map((name) => fixture(`pictures/${name}.png`));
const [, cat, coffee] = PICTURES as [string, string, string];
const answersChild = fileURLToPath(new URL("../children/answers.mjs", import.meta.url));

const reference: {
  questions: { text: string; input_ids: number[] }[];
  generate: { image: number; question: number; settings: Record<string, number>; sequence: number[] }[];
} = JSON.parse(readFileSync(join(parityCase, "reference.json"), "utf8"));
const QUESTIONS = reference.questions.map(({ text }) => text);
const GREEDY = reference.generate.filter(({ settings }) => Object.keys(settings).length === 0);

/** transformers' tokens of a greedy answer to a question about a picture, by their indices. */
function expectedTokens(image: number, question: number): number[] {
  const found = GREEDY.find((entry) => entry.image === image && entry.question === question);
  assert(found);
  return found.sequence;
}

const tokensOf = (answers: readonly Pick<Answer, "tokenIds">[]) => answers.map(({ tokenIds }) => tokenIds);
const expectedOf = (image: number) => QUESTIONS.map((_, question) => expectedTokens(image, question));

/** The calls of the model's functions meanwhile, with how often; `seen` is told the inputs of each. */
async function callsDuring(
  call: () => Promise<unknown>,
  seen: (name: string, inputs: readonly unknown[]) => void = () => {},
): Promise<Record<string, number>> {
  const calls: Record<string, number> = {};
  const { call: original } = TorchFunctions.prototype;
  TorchFunctions.prototype.call = function (this: TorchFunctions, name, inputs, options) {
    // Others lay the weights out.
    if (!name.startsWith("prepare_")) {
      calls[name] = (calls[name] ?? 0) + 1;
      seen(name, inputs);
    }
    return original.call(this, name, inputs, options) as never;
  };
  try {
    await call();
    return calls;
  } finally {
    TorchFunctions.prototype.call = original;
  }
}

/** How many checkpoints are loaded meanwhile. */
async function loadsDuring(call: () => Promise<unknown>): Promise<number> {
  let loads = 0;
  const { load } = Checkpoint;
  Checkpoint.load = (...args) => {
    loads++;
    return load.apply(Checkpoint, args);
  };
  try {
    await call();
    return loads;
  } finally {
    Checkpoint.load = load;
  }
}

function isGone(tensor: Tensor): boolean {
  try {
    return tensor.data === undefined;
  } catch {
    return true;
  }
}

describe("a checkpoint", () => {
  let blip: NeuronBlip;
  const load = (directory = whole, options = {}) => NeuronBlip.fromPretrained(directory, { threads: 1, ...options });
  const loadReplica = (options = {}) =>
    NeuronBlipForQuestionAnswering.fromPretrained(whole, { threads: 1, ...options });

  before(async () => {
    blip = await load();
  });
  after(() => blip?.dispose());

  it("answers with transformers' tokens through the whole of the API, with no TorchScript file", async () => {
    const { load: loadModule } = TorchModule;
    TorchModule.load = () => assert.fail("there is none");
    try {
      await using fresh = await load();
      const lengths = new Set<number>();
      for (const { image, question, settings, sequence } of reference.generate) {
        const [picture, text] = [PICTURES[image] as string, QUESTIONS[question] as string];
        assert.deepEqual((await fresh.answer(picture, text, optionsOf(settings))).tokenIds, sequence);
        lengths.add(sequence.length);
      }
      assert(lengths.size > 5, `lengths ${[...lengths]}`);
    } finally {
      TorchModule.load = loadModule;
    }
  });

  it("streams an answer's text", async () => {
    let text = "";
    for await (const piece of blip.stream(cat, QUESTIONS[0])) text += piece;
    assert.equal(text, (await blip.answer(cat, QUESTIONS[0] as string)).answer);
    assert.notEqual(text, "");
  });

  it("reads each token of candidates once, whatever their beginnings have in common", async () => {
    let tokens = 0;
    const calls = await callsDuring(
      () => blip.rank(cat, "dog?", ["red", "red car", "red car on road", "red"]),
      (name, [ids]) => {
        if (name === "next_token_logits") tokens += (ids as Tensor).size;
      },
    );
    // [DEC] for the candidates' first words and again for their likelihoods, then red, car, on, road.
    assert.equal(calls.next_token_logits, 6);
    assert.equal(tokens, 6);
    assert.equal(blip.rankingPart, "text_decoder_cached");
  });

  it("answers questions of different lengths about one picture in one call as one at a time", async () => {
    await using fresh = await load(whole, { pictureCache: false });
    for (const [image, picture] of PICTURES.entries()) {
      let together: Answer[] = [];
      const calls = await callsDuring(async () => {
        together = await fresh.answer(picture, QUESTIONS);
      });
      assert.deepEqual(tokensOf(together), expectedOf(image));
      assert.equal(calls.question_embeds, 1, "one call for all");
      for (const [question, text] of QUESTIONS.entries()) {
        assert.deepEqual((await fresh.answer(picture, text)).tokenIds, expectedTokens(image, question));
      }
    }
  });

  it("reads questions about several pictures together, new and known, each with its own picture", async () => {
    await using model = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const embeds = await model.encodeImages(await processor.processImages(PICTURES));
    const keysValues = await Promise.all(embeds.map((image) => model.imageKeysValues(image)));
    const images = [0, 1, 0, 2, 1, 0];
    const questions = [0, 1, 1, 0, 0, 2];
    const inputs = processor.processText(questions.map((question) => QUESTIONS[question] as string));
    const expected = images.map((image, i) => expectedTokens(image, questions[i] as number));
    for (const known of [[], [0, 1, 2], [1]]) {
      const counts: unknown[] = [];
      const imageEmbeds = images.map((image) => embeds[image] as Tensor);
      const imageKeysValues = images.map((image) => (known.includes(image) ? keysValues[image] : undefined));
      await callsDuring(
        async () =>
          assert.deepEqual(tokensOf(await model.generate({ imageEmbeds, imageKeysValues, ...inputs })), expected),
        (name, [, , , ofPictures]) => {
          if (name.startsWith("question_embeds")) counts.push([...(ofPictures as number[])].sort());
        },
      );
      assert.deepEqual(counts, known.length === 1 ? [[1, 3], [2]] : [[1, 2, 3]]);
    }
  });

  it("reads a question that is much longer than those about other pictures by itself", async () => {
    await using fresh = await load(whole, { pictureCache: false });
    const pictures = [cat, coffee, cat];
    const questions = ["dog?", Array(30).fill("dog").join(" "), "dog?"];
    const widths: unknown[] = [];
    let together: Answer[] = [];
    await callsDuring(
      async () => {
        together = await fresh.answer(pictures, questions);
      },
      (name, [ids]) => {
        if (name === "question_embeds") widths.push((ids as Tensor).shape);
      },
    );
    assert.deepEqual(widths, [
      [2, 4],
      [1, 32],
    ]);
    for (const [i, picture] of pictures.entries()) {
      assert.deepEqual((await fresh.answer(picture, questions[i] as string)).tokenIds, together[i]?.tokenIds);
    }
  });

  it("reads questions about pictures of different sizes together as one at a time", async () => {
    await using model = await loadReplica({ interpolatePosEncoding: true });
    const processor = await BlipProcessor.fromPretrained(whole);
    const { config } = model;
    const larger = await BlipProcessor.fromPretrained(whole, {
      size: { height: 2 * config.imageSize, width: config.imageSize },
    });
    const [small] = await model.encodeImages(await processor.processImages(cat));
    const [large] = await model.encodeImages(await larger.processImages(coffee));
    const embeds = [small, large, small] as Tensor[];
    assert.notDeepEqual(small?.shape, large?.shape);
    const questions = [0, 1, 1].map((question) => QUESTIONS[question] as string);
    const settings = { minNewTokens: 6, maxNewTokens: 6 };
    const calls = await callsDuring(async () => {
      const together = await model.generate({ imageEmbeds: embeds, ...processor.processText(questions) }, settings);
      for (const [i, question] of questions.entries()) {
        const alone = { imageEmbeds: [embeds[i] as Tensor], ...processor.processText([question]) };
        const [{ tokenIds, tokenLogProbabilities }] = (await model.generate(alone, settings)) as [GeneratedSequence];
        assert.deepEqual(together[i]?.tokenIds, tokenIds);
        assertAlike(together[i]?.tokenLogProbabilities ?? [], tokenLogProbabilities);
      }
    });
    assert.equal(calls.question_embeds, 1 + 3);
  });

  it("refuses counts of pictures that do not fit the texts, by a rejection", async () => {
    const loaded = (await loadParts(whole, "BlipForQuestionAnswering", { threads: 1 })) as LoadedCheckpoint;
    try {
      const texts = (await BlipProcessor.fromPretrained(whole)).processText(["dog?", "cat?"]);
      const { imageTokens, visionHiddenSize } = loaded.shapes;
      const picture = Tensor.zeros("float32", [1, imageTokens, visionHiddenSize]);
      for (const counts of [[], [1], [3], [1, 0, 1], [1.5, 0.5]]) {
        const pictures = counts.map((count) => ({ picture, count }));
        await assert.rejects(
          loaded.textEncoder().forward(texts, pictures),
          fails("INVALID_INPUT", /add up to the 2 texts/),
        );
      }
    } finally {
      await releaseReplica(loaded);
    }
  });

  it("answers any number of questions in a call, more than the decoder and the encoder take at once too", async () => {
    await using model = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const imageEmbeds = await model.encodeImages(await processor.processImages(PICTURES));
    const questions = Array.from({ length: 140 }, (_, i) => i % QUESTIONS.length);
    const inputs = processor.processText(questions.map((question) => QUESTIONS[question] as string));
    const seen: number[] = [];
    for (const image of [1, 2]) {
      const picture = [imageEmbeds[image] as Tensor];
      const calls = await callsDuring(
        async () => {
          assert.deepEqual(
            tokensOf(await model.generate({ imageEmbeds: picture, ...inputs })),
            questions.map((question) => expectedTokens(image, question)),
          );
        },
        (name, [ids]) => {
          if (name === "next_token_logits") seen.push((ids as Tensor).shape[0] as number);
        },
      );
      // So many tokens about one picture are worth its keys and values.
      assert.equal(calls.image_keys_values, 1);
      assert.equal(calls.question_embeds_cached, 3);
    }
    assert.equal(Math.max(...seen), 64);
  });

  it("reads questions without padding, and refuses or cuts those of more tokens than it has positions", async () => {
    const widths: (number | undefined)[] = [];
    await using fresh = await load();
    for (const question of QUESTIONS) {
      await callsDuring(
        () => fresh.answer(coffee, question),
        (name, [ids]) => {
          if (name.startsWith("question_embeds")) widths.push((ids as Tensor).shape[1]);
        },
      );
    }
    assert.deepEqual(
      widths,
      reference.questions.map(({ input_ids }) => input_ids.length),
    );
    const longer = Array(30).fill("is there a dog").join(" ");
    await assert.rejects(blip.answer(coffee, longer), fails("INPUT_TOO_LONG", /122 tokens, .* the limit is 64/));
    await blip.answer(coffee, longer, { truncation: true });
    const longest = Array(62).fill("dog").join(" ");
    await blip.answer(coffee, longest);
    const { tokenIds } = await blip.answer(coffee, "dog?", { minLength: 64, maxLength: 64 });
    assert.equal(tokenIds.length, 64);
    await assert.rejects(blip.answer(coffee, "dog?", { maxLength: 66 }), fails("INVALID_INPUT"));
    await assert.rejects(
      blip.rank(coffee, "dog?", [longer]),
      fails("INPUT_TOO_LONG", /has room for 64\. Shorten it\.$/),
    );
    await using short = await load(whole, { questionLength: 5 });
    await assert.rejects(short.answer(coffee, QUESTIONS[0] as string), fails("INPUT_TOO_LONG", /the limit is 5/));
  });

  it("computes an encoded picture's keys and values once, and frees them with it", async () => {
    for (const [image, picture] of PICTURES.entries()) {
      const encoded = await blip.encodeImage(picture);
      const keysValues = featuresOf(encoded).keyValues?.value;
      assert.deepEqual(keysValues?.shape, [2, 2, 4, 17, 4]);
      for (const [question, text] of QUESTIONS.entries()) {
        const calls = await callsDuring(async () => {
          assert.deepEqual((await blip.answer(encoded, text)).tokenIds, expectedTokens(image, question));
        });
        assert.equal(calls.question_embeds_cached, 1);
        assert.equal(calls.image_keys_values, undefined);
        assert.equal(calls.vision_model, undefined);
      }
      encoded.dispose();
      await assert.rejects(blip.answer(encoded, "dog?"), fails("DISPOSED"));
    }
  });

  it("gives the first, second, third, … question about a picture the same answer, before and with its keys and values", async () => {
    await using fresh = await load();
    const calls = await callsDuring(async () => {
      for (let time = 0; time < 5; time++) {
        for (const image of [1, 2]) {
          const { tokenIds } = await fresh.answer(PICTURES[image] as string, QUESTIONS[2] as string);
          assert.deepEqual(tokenIds, expectedTokens(image, 2));
        }
      }
    });
    assert.equal(calls.vision_model, 2);
    assert.equal(calls.image_keys_values, 2);
    assert((calls.question_embeds ?? 0) >= 2);
    assert((calls.question_embeds_cached ?? 0) >= 6);
  });

  it("frees all that was kept for a generation, also for one that is aborted", async () => {
    await using model = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const inputs = { ...processor.processText(QUESTIONS), pixelValues: await processor.processImages(cat) };
    const kept: Tensor[] = [];
    const { forward, encoderKeysValues } = TextDecoderCached.prototype;
    const stop = new AbortController();
    TextDecoderCached.prototype.forward = async function (...args) {
      const output = await forward.apply(this, args);
      kept.push(output.presentKeysValues);
      if (kept.length > 20) stop.abort();
      return output;
    };
    TextDecoderCached.prototype.encoderKeysValues = async function (...args) {
      const tensor = await encoderKeysValues.apply(this, args);
      kept.push(tensor);
      return tensor;
    };
    const { imageKeysValues } = TextEncoderCached.prototype;
    const early = new AbortController();
    TextEncoderCached.prototype.imageKeysValues = async function (...args) {
      const tensor = await imageKeysValues.apply(this, args);
      kept.push(tensor);
      early.abort();
      return tensor;
    };
    try {
      const many = { ...inputs, ...processor.processText([...QUESTIONS, ...QUESTIONS]) };
      await assert.rejects(model.generate(many, { signal: early.signal }), fails("ABORTED"));
      assert.equal(kept.length, 1);
      await model.generate(inputs, { numBeams: 3, maxNewTokens: 6 });
      await model.rank({ ...inputs, ...processor.processText("dog?") }, [
        [325, 200, 102],
        [325, 201, 202, 102],
      ]);
      const generating = model.generate(inputs, { minNewTokens: 20, signal: stop.signal });
      await assert.rejects(generating, fails("ABORTED"));
    } finally {
      Object.assign(TextDecoderCached.prototype, { forward, encoderKeysValues });
      TextEncoderCached.prototype.imageKeysValues = imageKeysValues;
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert(kept.length > 20);
    assert.deepEqual(kept.map(isGone), Array(kept.length).fill(true));
    assert.deepEqual(tokensOf(await model.generate(inputs)), expectedOf(1));
  });

  it("ends the calls under way when the model is disposed", async () => {
    const own = await load();
    const calls = QUESTIONS.map((question) => own.answer(cat, question));
    const encoding = own.encodeImage(coffee);
    const disposed = own.dispose();
    assert.deepEqual(tokensOf(await Promise.all(calls)), expectedOf(1));
    (await encoding).dispose();
    await disposed;
    await assert.rejects(own.answer(cat, "dog?"), fails("DISPOSED"));
    const model = await loadReplica();
    await model.dispose();
    await assert.rejects(model.visionModel.forward(Tensor.zeros("float32", [1, 3, 32, 32])), fails("DISPOSED"));
  });

  it("is shared by replicas, and freed with the last", async () => {
    const loads = await loadsDuring(async () => {
      await using own = await load(whole, { numModels: 2, pictureCache: false });
      assert.equal(own.numModels, 2);
      const asked = PICTURES.flatMap((_, image) => QUESTIONS.map((_, question) => ({ image, question })));
      const answers = await Promise.all(
        asked.map(({ image, question }) => own.answer(PICTURES[image] as string, QUESTIONS[question] as string)),
      );
      assert.deepEqual(
        tokensOf(answers),
        asked.map(({ image, question }) => expectedTokens(image, question)),
      );
    });
    assert.equal(loads, 1);
  });

  it("looks at pictures of another size as transformers does, with interpolatePosEncoding", async () => {
    const expected = readSafetensors(join(parityCase, "reference.safetensors"));
    const size = { height: 56, width: 40 };
    await using own = await load(whole, { interpolatePosEncoding: true, size });
    await using replica = await loadReplica({ interpolatePosEncoding: true });
    for (const [image, path] of PICTURES.entries()) {
      const pixels = expected.get(`image.${image}.interpolated_pixel_values`) as Tensor;
      const embeds = expected.get(`image.${image}.interpolated_last_hidden_state`) as Tensor;
      using encoded = await own.encodeImage(path);
      isNear(encoded.imageEmbeds, embeds);
      // Tensors of any size, once it is loaded so; the checkpoint's own comes out as it is.
      isNear((await replica.visionModel.forward(pixels)).lastHiddenState, embeds);
      const usual = expected.get(`image.${image}.pixel_values`) as Tensor;
      const { lastHiddenState } = await replica.visionModel.forward(usual);
      isNear(lastHiddenState, expected.get(`image.${image}.last_hidden_state`) as Tensor);
      const inputs = own.processor.processText(QUESTIONS[3] as string);
      const [answer] = await replica.generate({ pixelValues: pixels, ...inputs });
      assert.deepEqual((await own.answer(encoded, QUESTIONS[3] as string)).tokenIds, answer?.tokenIds);
    }
    await assert.rejects(load(whole, { size: 56 }), fails("INVALID_INPUT", /size 56 x 56 is not the 32 x 32 pixels/));
    for (const bad of [0, 7, 1.5, "56", { height: 56 }, { height: 56, width: 1e6 }, null, []]) {
      const options = { interpolatePosEncoding: true, size: bad };
      await assert.rejects(
        load(whole, options),
        fails("INVALID_INPUT", /size must be a whole number of pixels from 8/),
      );
    }
  });

  it("stops being laid out when the signal is aborted, and can be loaded again", async () => {
    const stop = new AbortController();
    const { call } = TorchFunctions.prototype;
    let calls = 0;
    TorchFunctions.prototype.call = function (this: TorchFunctions, name, inputs, options) {
      calls++;
      if (name === "prepare_vision_layer") stop.abort();
      return call.call(this, name, inputs, options) as never;
    };
    try {
      await assert.rejects(loadReplica({ signal: stop.signal }), fails("ABORTED"));
    } finally {
      TorchFunctions.prototype.call = call;
    }
    assert.equal(calls, 1, "nothing was called after it");
    await using own = await load();
    assert.deepEqual((await own.answer(cat, "dog?")).tokenIds, expectedTokens(1, 1));
  });

  for (const dtype of ["bfloat16", "int8"] as const) {
    it(`in ${dtype} mostly answers as transformers does in float32`, async () => {
      await using own = await load(whole, { dtype });
      using encoded = await own.encodeImage(cat);
      const kept = featuresOf(encoded).keyValues?.value.dtype ?? "";
      assert.match(kept, dtype === "int8" ? /^float32$/ : /^(bfloat16|float32)$/);
      isMostly(await answersOf(own));
    });

    it(`in ${dtype} mostly answers as transformers does in float32 on a CPU without bfloat16`, () => {
      const given = [whole, JSON.stringify(PICTURES), JSON.stringify(QUESTIONS), dtype];
      // What keeps oneDNN from newer instructions, on x86.
      const env = { ...process.env, ONEDNN_MAX_CPU_ISA: "AVX2" };
      const { stdout, stderr } = spawnSync(process.execPath, [answersChild, ...given], { encoding: "utf8", env });
      assert.equal(stderr, "");
      const { dtype: kept, answers } = JSON.parse(stdout) as { dtype: string; answers: number[][] };
      if (process.arch === "x64") assert.equal(kept, "float32");
      isMostly(answers);
    });
  }

  it("refuses a dtype that there is not, and options that say how a checkpoint runs for compiled parts", async () => {
    for (const dtype of ["float16", "fp32", 32, null]) {
      await assert.rejects(
        load(whole, { dtype }),
        fails("INVALID_INPUT", /dtype must be float32, bfloat16, int8, not/),
      );
      await assert.rejects(loadReplica({ dtype }), fails("INVALID_INPUT", /dtype must be/));
    }
    const compiled = fixture("parity/small-batch-2/model");
    await assert.rejects(load(compiled, { dtype: "int8" }), fails("INVALID_INPUT", /dtype is for checkpoints/));
    await assert.rejects(
      load(compiled, { interpolatePosEncoding: true }),
      fails("INVALID_INPUT", /interpolatePosEncoding is for checkpoints/),
    );
  });
});

/** The tokens of every question about every picture, questions fastest. */
async function answersOf(blip: NeuronBlip): Promise<number[][]> {
  const answers: number[][] = [];
  for (const picture of PICTURES) answers.push(...tokensOf(await blip.answer(picture, QUESTIONS)));
  return answers;
}

function isNear(own: Tensor, expected: Tensor): void {
  assert.deepEqual(own.shape, expected.shape);
  for (const [i, value] of (own.data as Float32Array).entries()) {
    assert(Math.abs(value - Number(expected.data[i])) <= 1e-5, `element ${i}`);
  }
}

function isMostly(answers: readonly (readonly number[])[]): void {
  assert.equal(answers.length, GREEDY.length);
  const equal = GREEDY.filter(
    ({ image, question, sequence }) => answers[image * QUESTIONS.length + question]?.[1] === sequence[1],
  );
  assert(equal.length >= GREEDY.length * 0.75, `${equal.length} of ${GREEDY.length} first tokens are equal`);
}
