// The parts for the CPU, beside and in place of the tutorial's.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Answer,
  BlipProcessor,
  NeuronBlip,
  NeuronBlipForQuestionAnswering,
  type PartSpec,
  Tensor,
  TextDecoderCached,
  TextEncoderCached,
  TorchModule,
  type TorchOutput,
} from "neuron-blip";
import { type LoadedParts, releaseParts } from "../dist/blip/load-parts.js";
import { loadReplicas } from "../dist/blip/load-replicas.js";
import { lookedAtOf } from "../dist/encoded-image.js";
import { LazyModule } from "../dist/runtime/lazy-module.js";
import { fails, fixture, hasLibtorch } from "./helpers.js";
import { Comparison, type GenerationRun, idsTensor, optionsOf, SCORE_TOLERANCE } from "./parity-cases.js";

/** Made by scripts/test-parity.mjs, which also has transformers' own answers. */
const parityCase = fixture("parity/cpu-parts");
const whole = join(parityCase, "model");
const PICTURES = ["astronaut", "chelsea", "coffee"].map((name) => fixture(`pictures/${name}.png`));
const [astronaut, cat, coffee] = PICTURES as [string, string, string];
const answersChild = fileURLToPath(new URL("children/answers.mjs", import.meta.url));
const CPU_PARTS = ["vision_model_fused", "text_encoder_cached", "text_decoder_cached"];
const TUTORIAL_PARTS = ["vision_model", "text_encoder", "text_decoder"];

const read = (name: string) => JSON.parse(readFileSync(join(parityCase, name), "utf8"));
const reference: {
  questions: { text: string; input_ids: number[] }[];
  generate: {
    image: number;
    question: number;
    settings: Record<string, number>;
    sequence: number[];
    token_log_probs: number[];
  }[];
} = read("reference.json");
const generations: { runs: (GenerationRun & { input_ids: number[][]; attention_mask: number[][] })[] } =
  read("generations.json");
const QUESTIONS = reference.questions.map(({ text }) => text);
const GREEDY = reference.generate.filter(({ settings }) => Object.keys(settings).length === 0);

/** transformers' tokens of a greedy answer to a question about a picture, by their indices. */
function expectedTokens(image: number, question: number): number[] {
  const found = GREEDY.find((entry) => entry.image === image && entry.question === question);
  assert(found);
  return found.sequence;
}

const tokensOf = (answers: readonly Pick<Answer, "tokenIds">[]) => answers.map(({ tokenIds }) => tokenIds);

/** The calls of parts meanwhile, such as "text_encoder_cached.forward", with how often; `seen` is told the inputs of each. */
async function callsDuring(
  call: () => Promise<unknown>,
  seen: (name: string, inputs: readonly Tensor[]) => void = () => {},
): Promise<Record<string, number>> {
  const calls: Record<string, number> = {};
  const { call: original } = TorchModule.prototype;
  TorchModule.prototype.call = async function (this: TorchModule, method: string, inputs: readonly Tensor[]) {
    const name = `${basename(this.path, ".pt")}.${method}`;
    calls[name] = (calls[name] ?? 0) + 1;
    seen(name, inputs);
    return original.call(this, method, inputs);
  } as typeof original;
  try {
    await call();
    return calls;
  } finally {
    TorchModule.prototype.call = original;
  }
}

/** The files loaded meanwhile, in order. */
async function loadsDuring(call: () => Promise<unknown>): Promise<string[]> {
  const loads: string[] = [];
  const { load } = TorchModule;
  TorchModule.load = (path, options) => {
    loads.push(basename(String(path), ".pt"));
    return load.call(TorchModule, path, options);
  };
  try {
    await call();
    return loads;
  } finally {
    TorchModule.load = load;
  }
}

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

function isGone(tensor: Tensor): boolean {
  try {
    return tensor.data === undefined;
  } catch {
    return true;
  }
}

// Earlier libtorch has no fused attention, and uses the tutorial's parts.
const describeParts = hasLibtorch(2, 1) ? describe : describe.skip;

describeParts("parts for the CPU", () => {
  const work = mkdtempSync(join(tmpdir(), "neuron-blip-cpu-parts-"));
  let blip: NeuronBlip;
  let tutorial: NeuronBlip;

  interface ManifestParts {
    parts: Record<string, PartSpec>;
    cpu_parts?: { parts: Record<string, PartSpec> };
  }

  /** A copy of the model, changed. */
  function changed(name: string, change: (manifest: ManifestParts, directory: string) => void): string {
    const directory = join(work, name);
    cpSync(whole, directory, { recursive: true });
    const path = join(directory, "neuron_blip.json");
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    change(manifest, directory);
    writeFileSync(path, JSON.stringify(manifest));
    return directory;
  }

  /** A copy of the model with another file as a part for the CPU, described as it is. */
  function replaced(name: string, part: string, bytes: Uint8Array): string {
    return changed(name, ({ cpu_parts: cpuParts }, directory) => {
      writeFileSync(join(directory, `${part}.pt`), bytes);
      Object.assign(cpuParts?.parts[part] ?? {}, {
        size: bytes.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
      });
    });
  }

  const load = (directory = whole, options = {}) => NeuronBlip.fromPretrained(directory, { threads: 1, ...options });
  const loadReplica = (directory = whole, options = {}) =>
    NeuronBlipForQuestionAnswering.fromPretrained(directory, { threads: 1, ...options });

  before(async () => {
    blip = await load();
    tutorial = await load(changed("tutorial", (manifest) => delete manifest.cpu_parts));
  });
  after(async () => {
    await Promise.all([blip?.dispose(), tutorial?.dispose()]);
    rmSync(work, { recursive: true });
  });

  it("are used for every answer, and the tutorial's where there are none", async () => {
    const ask = (model: NeuronBlip) => async () => {
      await model.answer(astronaut, QUESTIONS);
      await model.answer(astronaut, "dog?", { numBeams: 3 });
      await model.rank(astronaut, "dog?", ["yes", "no"]);
    };
    const partsOf = (calls: Record<string, number>) => [
      ...new Set(Object.keys(calls).map((name) => name.replace(/\..*/, ""))),
    ];
    assert.deepEqual(partsOf(await callsDuring(ask(blip))), CPU_PARTS);
    assert.deepEqual(partsOf(await callsDuring(ask(tutorial))), TUTORIAL_PARTS);
    assert.equal(blip.rankingPart, "text_decoder_cached");
    assert.equal(tutorial.rankingPart, "text_decoder");
  });

  it("answer with the tokens and scores of transformers and of the tutorial's parts", async () => {
    const lengths = new Set<number>();
    for (const { image, question, settings, sequence, token_log_probs: scores } of reference.generate) {
      for (const model of [blip, tutorial]) {
        const { tokenIds, tokenLogProbabilities } = await model.answer(
          PICTURES[image] as string,
          QUESTIONS[question] as string,
          optionsOf(settings),
        );
        assert.deepEqual(tokenIds, sequence);
        for (const [i, score] of scores.entries()) {
          assert(Math.abs((tokenLogProbabilities[i] as number) - score) <= SCORE_TOLERANCE);
        }
      }
      lengths.add(sequence.length);
    }
    assert(lengths.size > 5, `lengths ${[...lengths]}`);
  });

  it("answer by beams with the tokens and scores of transformers and of the tutorial's parts", async () => {
    const runs = generations.runs.filter(({ settings }) => (settings.num_beams as number) > 1).slice(0, 20);
    assert.equal(runs.length, 20);
    for (const directory of [whole, join(work, "tutorial")]) {
      await using model = await loadReplica(directory);
      const processor = await BlipProcessor.fromPretrained(whole);
      const embeds = await model.encodeImages(await processor.processImages(PICTURES));
      const comparison = new Comparison();
      for (const run of runs) {
        const inputs = {
          imageEmbeds: run.images.map((image) => embeds[image] as Tensor),
          inputIds: idsTensor(run.input_ids),
          attentionMask: idsTensor(run.attention_mask),
        };
        comparison.add(run, await model.generate(inputs, { ...optionsOf(run.settings), questionMask: "ones" }));
      }
      comparison.assertEqual();
    }
    for (const numBeams of [2, 5]) {
      const options = { numBeams, numReturnSequences: 2, maxNewTokens: 7 };
      const [own, theirs] = [
        await blip.answer(cat, QUESTIONS, options),
        await tutorial.answer(cat, QUESTIONS, options),
      ];
      const all = (answers: Answer[]) => tokensOf(answers.flatMap((one) => [one, ...(one.alternatives ?? [])]));
      assert.deepEqual(all(own), all(theirs));
    }
  });

  it("rank with the order and probabilities of the original and of the tutorial's parts", async () => {
    const { candidates, runs } = read("rank.json");
    for (const { image, question, k, label_smoothing: labelSmoothing, order, probabilities } of runs) {
      for (const model of [blip, tutorial]) {
        const options = { k, labelSmoothing };
        const ranked = await model.rank(PICTURES[image] as string, QUESTIONS[question] as string, candidates, options);
        const scored = ranked.slice(0, order.length);
        assert.deepEqual(
          scored.map(({ index }) => index),
          order,
        );
        for (const [i, { probability }] of scored.entries()) {
          assert(Math.abs(probability - probabilities[i]) <= SCORE_TOLERANCE);
        }
      }
    }
  });

  it("read each token of candidates once, whatever their beginnings have in common", async () => {
    let tokens = 0;
    const calls = await callsDuring(
      () => blip.rank(cat, "dog?", ["red", "red car", "red car on road", "red"]),
      (name, [ids]) => {
        if (name === "text_decoder_cached.forward") tokens += ids?.size as number;
      },
    );
    // [DEC] for the candidates' first words and again for their likelihoods, then red, car, on, road.
    assert.equal(calls["text_decoder_cached.forward"], 6);
    assert.equal(tokens, 6);
  });

  it("answer questions of different lengths about one picture in one call as one at a time", async () => {
    const expected = PICTURES.map((_, image) => QUESTIONS.map((_, question) => expectedTokens(image, question)));
    await using fresh = await load(whole, { pictureCache: false });
    for (const [image, picture] of PICTURES.entries()) {
      let together: Answer[] = [];
      const calls = await callsDuring(async () => {
        together = await fresh.answer(picture, QUESTIONS);
      });
      assert.deepEqual(tokensOf(together), expected[image]);
      assert.equal(calls["text_encoder_cached.forward"], 1, "one call for all");
      for (const [question, text] of QUESTIONS.entries()) {
        assert.deepEqual((await fresh.answer(picture, text)).tokenIds, expected[image]?.[question]);
      }
    }
    const pairs = PICTURES.flatMap((picture) => QUESTIONS.map((question) => ({ picture, question })));
    const all = await blip.answer(
      pairs.map(({ picture }) => picture),
      pairs.map(({ question }) => question),
    );
    assert.deepEqual(tokensOf(all), expected.flat());
  });

  it("answer any number of questions in a call, more than the decoder and the encoder take at once too", async () => {
    await using model = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const imageEmbeds = await model.encodeImages(await processor.processImages(PICTURES));
    const questions = Array.from({ length: 140 }, (_, i) => i % QUESTIONS.length);
    const inputs = processor.processText(questions.map((question) => QUESTIONS[question] as string));
    const seen: number[] = [];
    for (const image of [1, 2]) {
      const picture = [imageEmbeds[image] as Tensor];
      const generate = () => model.generate({ imageEmbeds: picture, ...inputs });
      const calls = await callsDuring(
        async () => {
          assert.deepEqual(
            tokensOf(await generate()),
            questions.map((question) => expectedTokens(image, question)),
          );
        },
        (name, [ids]) => {
          if (name === "text_decoder_cached.forward") seen.push(ids?.shape[0] as number);
        },
      );
      // So many tokens about one picture are worth its keys and values.
      assert.equal(calls["text_encoder_cached.image_keys_values"], 1);
      assert.equal(calls["text_encoder_cached.forward_cached"], 3);
    }
    assert.equal(Math.max(...seen), 64);
  });

  it("read short questions without padding, and refuse or cut those that are longer than compiled", async () => {
    await using fresh = await load();
    const widths: (number | undefined)[] = [];
    const see = (name: string, [ids]: readonly Tensor[]) => {
      if (/^text_encoder_cached\.forward/.test(name)) widths.push(ids?.shape[1]);
    };
    for (const question of QUESTIONS) await callsDuring(() => fresh.answer(coffee, question), see);
    assert.deepEqual(
      widths,
      reference.questions.map(({ input_ids }) => input_ids.length),
    );
    const longer = `${QUESTIONS[3]} yes, or no, or what?`;
    for (const model of [blip, tutorial]) {
      await assert.rejects(model.answer(coffee, longer), fails("INPUT_TOO_LONG", /28 tokens, .* the limit is 20/));
      await assert.rejects(model.answer(coffee, ["dog?", longer]), fails("INPUT_TOO_LONG"));
    }
    const cut = { truncation: true };
    const [own, theirs] = [await blip.answer(coffee, longer, cut), await tutorial.answer(coffee, longer, cut)];
    assert.deepEqual(own.tokenIds, theirs.tokenIds);
  });

  it("compute an encoded picture's keys and values once, and free them with it", async () => {
    await using fresh = await load();
    for (const [image, picture] of PICTURES.entries()) {
      const encoded = await fresh.encodeImage(picture);
      const keysValues = lookedAtOf(encoded).value.keysValues?.value;
      assert.deepEqual(keysValues?.shape, [2, 2, 4, 17, 4]);
      for (let time = 0; time < 3; time++) {
        for (const [question, text] of QUESTIONS.entries()) {
          const calls = await callsDuring(async () => {
            assert.deepEqual((await fresh.answer(encoded, text)).tokenIds, expectedTokens(image, question));
          });
          assert.equal(calls["text_encoder_cached.forward_cached"], 1);
          assert.equal(calls["text_encoder_cached.image_keys_values"], undefined);
          assert.equal(calls["vision_model_fused.forward"], undefined);
        }
      }
      encoded.dispose();
      assert.equal(isGone(keysValues as Tensor), true);
      await assert.rejects(fresh.answer(encoded, "dog?"), fails("DISPOSED"));
    }
  });

  it("give the first, second, third, … question about a picture the same answer, before and with its keys and values", async () => {
    await using fresh = await load();
    const calls = await callsDuring(async () => {
      for (let time = 0; time < 5; time++) {
        for (const image of [1, 2]) {
          const { tokenIds } = await fresh.answer(PICTURES[image] as string, QUESTIONS[2] as string);
          assert.deepEqual(tokenIds, expectedTokens(image, 2));
        }
      }
    });
    assert.equal(calls["vision_model_fused.forward"], 2);
    assert.equal(calls["text_encoder_cached.image_keys_values"], 2);
    assert((calls["text_encoder_cached.forward"] ?? 0) >= 2);
    assert((calls["text_encoder_cached.forward_cached"] ?? 0) >= 6);
  });

  it("free all that was kept for a generation, also for one that is aborted", async () => {
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
    assert.deepEqual(
      tokensOf(await model.generate(inputs)),
      [0, 1, 2, 3].map((question) => expectedTokens(1, question)),
    );
  });

  it("are loaded alone: the tutorial's when something asks for them by name, each once", async () => {
    const loads = await loadsDuring(async () => {
      await using model = await loadReplica();
      const processor = await BlipProcessor.fromPretrained(whole);
      const pixels = await processor.processImages(cat);
      const text = processor.processText(QUESTIONS[3] as string); // of the compiled length
      const [imageEmbeds] = await model.encodeImages(pixels);
      const [answer] = await model.generate({ imageEmbeds: imageEmbeds as Tensor, ...text });
      assert.deepEqual(answer?.tokenIds, expectedTokens(1, 3));

      const [{ lastHiddenState }, again] = await Promise.all([
        model.visionModel.forward(pixels),
        model.visionModel.forward(pixels),
      ]);
      assert.deepEqual(again.lastHiddenState.data, lastHiddenState.data);
      isNear(lastHiddenState, imageEmbeds as Tensor);
      const embeds = await model.textEncoder.forward(text.inputIds, text.attentionMask, lastHiddenState);
      const tokens = [model.config.bosTokenId];
      for (let step = 0; step < 4; step++) {
        const inputs = model.textDecoder.prepareInputsForGeneration([tokens]);
        const logits = [...(await model.textDecoder.forward(inputs, embeds, text.attentionMask)).data];
        tokens.push(logits.indexOf(Math.max(...logits)));
      }
      assert.deepEqual(tokens, expectedTokens(1, 3).slice(0, 5));
    });
    assert.deepEqual(loads, [...CPU_PARTS, ...TUTORIAL_PARTS]);
  });

  it("leave the tutorial's parts to be loaded by a later call where a first one failed", async () => {
    const directory = changed("later", () => {});
    await using model = await loadReplica(directory);
    const processor = await BlipProcessor.fromPretrained(whole);
    const pixels = await processor.processImages(cat);
    const path = join(directory, "vision_model.pt");
    renameSync(path, `${path}.gone`);
    await assert.rejects(model.visionModel.forward(pixels), fails("ARTIFACT_NOT_FOUND", /vision_model\.pt/));
    copyFileSync(join(whole, "text_encoder.pt"), path);
    await assert.rejects(model.visionModel.forward(pixels), fails("ARTIFACT_MISMATCH", /looks like a text_encoder/));
    renameSync(`${path}.gone`, path);
    assert.deepEqual((await model.visionModel.forward(pixels)).lastHiddenState.shape, [1, 17, 16]);
  });

  it("end the calls under way when the model is disposed, also those that load a part", async () => {
    const own = await load();
    const calls = QUESTIONS.map((question) => own.answer(cat, question));
    const encoding = own.encodeImage(coffee);
    const disposed = own.dispose();
    assert.deepEqual(
      tokensOf(await Promise.all(calls)),
      QUESTIONS.map((_, question) => expectedTokens(1, question)),
    );
    (await encoding).dispose();
    await disposed;
    await assert.rejects(own.answer(cat, "dog?"), fails("DISPOSED"));

    const model = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const pixelValues = await processor.processImages(cat);
    const generating = model.generate({ pixelValues, ...processor.processText("dog?") });
    const looking = model.visionModel.forward(pixelValues);
    const disposing = model.dispose();
    assert.deepEqual(tokensOf(await generating), [expectedTokens(1, 1)]);
    assert.deepEqual((await looking).lastHiddenState.shape, [1, 17, 16]);
    await disposing;
    await assert.rejects(model.visionModel.forward(pixelValues), fails("DISPOSED"));
    const { inputIds, attentionMask } = processor.processText(QUESTIONS[3] as string);
    const imageEmbeds = Tensor.zeros("float32", [1, 17, 16]);
    const loads = await loadsDuring(() =>
      assert.rejects(model.textEncoder.forward(inputIds, attentionMask, imageEmbeds), fails("DISPOSED")),
    );
    assert.deepEqual(loads, []);
  });

  it("are shared by replicas", async () => {
    const loads = await loadsDuring(async () => {
      await using own = await load(whole, { numModels: 2, pictureCache: false });
      const asked = PICTURES.flatMap((_, image) => QUESTIONS.map((_, question) => ({ image, question })));
      const answers = await Promise.all(
        asked.map(({ image, question }) => own.answer(PICTURES[image] as string, QUESTIONS[question] as string)),
      );
      assert.deepEqual(
        tokensOf(answers),
        asked.map(({ image, question }) => expectedTokens(image, question)),
      );
    });
    assert.deepEqual(loads, CPU_PARTS);
  });

  it("leave the tutorial's parts to be shared by replicas, too", async () => {
    const loads = await loadsDuring(async () => {
      const replicas = (await loadReplicas(whole, "BlipForQuestionAnswering", [0, 1], {
        threads: 1,
      })) as LoadedParts[];
      using pixels = Tensor.zeros("float32", [1, 3, 32, 32]);
      await Promise.all(replicas.map(({ parts }) => parts.get("vision_model")?.forward([pixels])));
      // The weights live on in the other.
      await releaseParts(replicas[0] as LoadedParts);
      await replicas[1]?.parts.get("vision_model")?.forward([pixels]);
      await releaseParts(replicas[1] as LoadedParts);
    });
    assert.deepEqual(loads, [...CPU_PARTS, "vision_model"]);
  });

  it("are run once while they are loaded, unless warmUp is false", async () => {
    for (const warmUp of [true, false]) {
      let own: NeuronBlip | undefined;
      const calls = await callsDuring(async () => {
        own = await load(whole, { warmUp });
      });
      assert.deepEqual(
        Object.keys(calls).sort(),
        warmUp
          ? [
              "text_decoder_cached.encoder_keys_values",
              "text_decoder_cached.forward",
              "text_encoder_cached.forward",
              "text_encoder_cached.forward_cached",
              "text_encoder_cached.image_keys_values",
              "vision_model_fused.forward",
            ]
          : [],
      );
      assert.deepEqual(tokensOf((await own?.answer(coffee, QUESTIONS)) ?? []), [0, 1, 2, 3].map(expectedOf(2)));
      await own?.dispose();
    }
  });

  it("have methods besides forward, and say which where another is called", async () => {
    await using module = await TorchModule.load(join(whole, "text_encoder_cached.pt"));
    assert.deepEqual(Object.keys(module.methods).sort(), ["forward", "forward_cached", "image_keys_values"]);
    await using replica = await loadReplica();
    const processor = await BlipProcessor.fromPretrained(whole);
    const [image] = (await replica.encodeImages(await processor.processImages(cat))) as [Tensor<"float32">];
    for (const name of ["no_such_method", "toString", "constructor", "__proto__", ""]) {
      await assert.rejects(module.call(name, [image]), fails("INVALID_INPUT", /has no method .*image_keys_values/));
    }
    await assert.rejects(
      module.call("image_keys_values", [image, image]),
      fails("INVALID_INPUT", /image_keys_values of .* takes 1 inputs \(image_embeds\), not 2/),
    );
    await assert.rejects(module.forward([image]), fails("INVALID_INPUT", /takes 3 inputs/));
    const output: TorchOutput = await module.call("image_keys_values", [image]);
    assert.deepEqual((output as Tensor).data, (await replica.imageKeysValues(image))?.data);
  });

  it("that are not the manifest's files are an error, verified or not", async () => {
    for (const part of CPU_PARTS) {
      const directory = changed(`damaged-${part}`, (_, directory) => {
        const path = join(directory, `${part}.pt`);
        const bytes = readFileSync(path);
        // Where the archive says what is in it.
        writeFileSync(path, bytes.fill(0, bytes.length - 400));
      });
      const told = fails(
        "ARTIFACT_MISMATCH",
        new RegExp(`${part}\\.pt" is not the file .* SHA-256 .*compile the model`),
      );
      for (const verify of [true, false]) await assert.rejects(load(directory, { verify }), told);
      rmSync(join(directory, `${part}.pt`));
      for (const verify of [true, false]) {
        await assert.rejects(load(directory, { verify }), fails("ARTIFACT_NOT_FOUND", new RegExp(`${part}\\.pt`)));
      }
    }
  });

  it("that libtorch does not load or run are done without, with a warning that names the file and says what to do", async () => {
    const damaged = readFileSync(join(whole, "text_decoder_cached.pt")).fill(0, 1000, 30_000);
    for (const [directory, part] of [
      [replaced("no-archive", "vision_model_fused", new TextEncoder().encode("no module")), "vision_model_fused"],
      [replaced("not-loading", "text_decoder_cached", damaged), "text_decoder_cached"],
      [replaced("not-running", "vision_model_fused", readFileSync(fixture("modules/raises.pt"))), "vision_model_fused"],
    ] as const) {
      for (const numModels of [1, 2]) {
        let own: NeuronBlip | undefined;
        const loads: string[] = [];
        const warnings = await warningsDuring(async () => {
          loads.push(
            ...(await loadsDuring(async () => {
              own = await load(directory, { numModels });
            })),
          );
        });
        assert.equal(warnings.length, 1, directory);
        assert.match(warnings[0] as string, new RegExp(`${part}\\.pt`));
        assert.match(warnings[0] as string, /libtorch 2\.1 or later that has oneDNN.* --tutorial-parts-only/);
        assert.deepEqual(loads.slice(-3).sort(), [...TUTORIAL_PARTS].sort());
        assert.equal(own?.rankingPart, "text_decoder");
        assert.deepEqual(tokensOf((await own?.answer(cat, QUESTIONS)) ?? []), [0, 1, 2, 3].map(expectedOf(1)));
        await own?.dispose();
      }
    }
  });

  it("that were swapped are an error", async () => {
    const directory = replaced("swapped", "text_encoder_cached", readFileSync(join(whole, "text_decoder_cached.pt")));
    await assert.rejects(
      load(directory),
      fails("ARTIFACT_MISMATCH", /takes 6 inputs, and a text_encoder_cached takes 3/),
    );
  });

  it("of another model than config.json's are an error that names the file", async () => {
    const other = readFileSync(fixture("parity/captions-cpu-parts/model/text_decoder_cached.pt"));
    const directory = replaced("another", "text_decoder_cached", other);
    const warnings = await warningsDuring(async () => {
      await using own = await load(directory);
      assert.deepEqual((await own.answer(cat, "dog?")).tokenIds, expectedTokens(1, 1));
    });
    assert.match(warnings[0] as string, /text_decoder_cached\.pt" failed/);
    await using cold = await load(directory, { warmUp: false });
    await assert.rejects(cold.answer(cat, "dog?"), fails("EXECUTION_FAILED", /text_decoder_cached\.pt/));
  });

  it("are an error where the manifest contradicts itself, or lacks one of them", async () => {
    const shape = changed("shape", ({ cpu_parts: cpuParts }) => {
      Object.assign(cpuParts?.parts.vision_model_fused?.inputs[0] ?? {}, { shape: [-1, 3, 64, 64] });
    });
    await assert.rejects(load(shape), fails("ARTIFACT_MISMATCH", /vision_model_fused\.pt takes \[-1, 3, 64, 64\]/));
    const past = changed("past", ({ cpu_parts: cpuParts }) => {
      Object.assign(cpuParts?.parts.text_decoder_cached?.inputs[1] ?? {}, { shape: [] });
    });
    await assert.rejects(load(past), fails("ARTIFACT_MISMATCH", /text_decoder_cached\.pt's keys and values/));
    const lacking = changed("lacking", ({ cpu_parts: cpuParts }) => delete cpuParts?.parts.text_encoder_cached);
    await assert.rejects(load(lacking), fails("ARTIFACT_CORRUPT", /lacks fields/));
  });

  it("of bf16 run on every CPU, and mostly answer as transformers does in fp32", async () => {
    let model: NeuronBlip | undefined;
    assert.deepEqual(
      await warningsDuring(async () => {
        model = await load(join(parityCase, "model-bf16"));
      }),
      [],
    );
    assert(model);
    await using blip = model;
    using encoded = await blip.encodeImage(cat);
    assert.match(lookedAtOf(encoded).value.keysValues?.value.dtype ?? "", /^(bfloat16|float32)$/);
    let equal = 0;
    for (const { image, question, sequence } of GREEDY) {
      const { tokenIds } = await blip.answer(PICTURES[image] as string, QUESTIONS[question] as string);
      assert.equal(tokenIds[0], sequence[0]);
      if (tokenIds[1] === sequence[1]) equal++;
    }
    assert(equal >= GREEDY.length * 0.75, `${equal} of ${GREEDY.length} first tokens are equal`);
  });

  it("of bf16 run in float32 on a CPU without bfloat16, and mostly answer as transformers does", () => {
    const given = [join(parityCase, "model-bf16"), JSON.stringify(PICTURES), JSON.stringify(QUESTIONS)];
    // What keeps oneDNN from newer instructions, on x86.
    const env = { ...process.env, ONEDNN_MAX_CPU_ISA: "AVX2" };
    const { stdout, stderr } = spawnSync(process.execPath, [answersChild, ...given], { encoding: "utf8", env });
    assert.equal(stderr, "");
    const { dtype, answers } = JSON.parse(stdout) as { dtype: string; answers: number[][] };
    if (process.arch === "x64") assert.equal(dtype, "float32");
    const equal = GREEDY.filter(
      ({ image, question, sequence }) => answers[image * QUESTIONS.length + question]?.[1] === sequence[1],
    );
    assert(equal.length >= GREEDY.length * 0.75, `${equal.length} of ${GREEDY.length} first tokens are equal`);
  });
});

describeParts("parts for the CPU that make captions", () => {
  const whole = fixture("parity/captions-cpu-parts/model");

  it("give the captions of the tutorial's parts, which are not loaded", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-cpu-parts-"));
    try {
      cpSync(whole, directory, { recursive: true });
      const path = join(directory, "neuron_blip.json");
      const { cpu_parts: _, ...manifest } = JSON.parse(readFileSync(path, "utf8"));
      writeFileSync(path, JSON.stringify(manifest));
      await using tutorial = await NeuronBlip.fromPretrained(directory, { threads: 1 });
      const loads = await loadsDuring(async () => {
        await using blip = await NeuronBlip.fromPretrained(whole, { threads: 1 });
        for (const options of [{}, { prompt: "a big cat" }, { numBeams: 3, maxNewTokens: 8 }]) {
          const [own, theirs] = [await blip.caption(PICTURES, options), await tutorial.caption(PICTURES, options)];
          assert.deepEqual(tokensOf(own), tokensOf(theirs));
        }
      });
      assert.deepEqual(loads, ["vision_model_fused", "text_decoder_cached"]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("a module that is loaded when it is used", () => {
  const path = fixture("modules/resnet.pt");

  it("is loaded once for those who ask at the same time, and freed", async () => {
    let loads = 0;
    const lazy = new LazyModule(path, () => {
      loads++;
      return TorchModule.load(path);
    });
    const [one, other] = await Promise.all([lazy.get(), lazy.get()]);
    assert.equal(one, other);
    assert.equal(await lazy.get(), one);
    assert.equal(loads, 1);
    await Promise.all([lazy.dispose(), lazy.dispose()]);
    assert.equal(one.isDisposed, true);
    await assert.rejects(lazy.get(), fails("DISPOSED", /resnet\.pt/));
  });

  it("is freed where it is disposed while it loads, and never loaded after", async () => {
    const lazy = new LazyModule(path, () => TorchModule.load(path));
    const loading = lazy.get();
    await lazy.dispose();
    assert.equal((await loading).isDisposed, true);
    const unused = new LazyModule(path, () => assert.fail("it is not wanted"));
    await unused.dispose();
    await assert.rejects(unused.get(), fails("DISPOSED"));
  });
});

function expectedOf(image: number): (question: number) => number[] {
  return (question) => expectedTokens(image, question);
}

function isNear(one: Tensor, other: Tensor): void {
  assert.deepEqual(one.shape, other.shape);
  for (const [i, value] of (one.data as Float32Array).entries()) {
    assert(Math.abs(value - Number(other.data[i])) <= 1e-4, `element ${i}`);
  }
}
