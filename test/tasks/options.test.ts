// Options that cannot be read, or that there are not.
import assert from "node:assert/strict";
import {
  BlipImageProcessor,
  BlipProcessor,
  Executor,
  loadImage,
  NeuronBlip,
  NeuronBlipForConditionalGeneration,
  NeuronBlipForImageTextRetrieval,
  NeuronBlipForQuestionAnswering,
  pipeline,
  Tensor,
  TextStreamer,
  TorchModule,
} from "neuron-blip";
import { fails, fixture } from "../helpers.js";

const picture = fixture("pictures/chelsea.png");
const models = {
  answers: fixture("parity/small-batch-2/model"),
  captions: fixture("parity/captions/model"),
  matches: fixture("parity/retrieval/model"),
};
type Call = (options: object) => unknown;

describe("options", () => {
  let calls: Record<string, Call> = {};
  const open: AsyncDisposable[] = [];

  before(async () => {
    const [blip, captioning, retrieving] = (await Promise.all(
      Object.values(models).map((directory) => NeuronBlip.fromPretrained(directory, { threads: 1 })),
    )) as [NeuronBlip, NeuronBlip, NeuronBlip];
    const replica = await NeuronBlipForQuestionAnswering.fromPretrained(models.answers, { threads: 1 });
    const ask = await pipeline("visual-question-answering", models.answers, { threads: 1 });
    open.push(blip, captioning, retrieving, replica, ask);
    const { processor } = blip;
    const [first = [], pixelValues] = [[1, 2], Tensor.zeros("float32", [1, 3, 96, 96])];
    const inputs = { pixelValues, ...processor.processText("a dog?") };
    calls = {
      answer: (options) => blip.answer(picture, "dog?", options),
      stream: async (options) => {
        for await (const _ of blip.stream(picture, "dog?", options));
      },
      rank: (options) => blip.rank(picture, "dog?", ["yes"], options),
      encodeImage: (options) => blip.encodeImage(picture, options),
      caption: (options) => captioning.caption(picture, options),
      match: (options) => retrieving.match(picture, "dog", options),
      similarity: (options) => retrieving.similarity([picture], ["dog"], options),
      pipeline: (options) => ask(picture, "dog?", options),
      generate: (options) => replica.generate(inputs, options),
      "replica's rank": (options) => replica.rank(inputs, [first], options),
      "NeuronBlip.fromPretrained": (options) => NeuronBlip.fromPretrained(models.answers, options),
      pictureCache: (pictureCache) => NeuronBlip.fromPretrained(models.answers, { pictureCache }),
      "a replica for answers": (options) => NeuronBlipForQuestionAnswering.fromPretrained(models.answers, options),
      "a replica for captions": (options) =>
        NeuronBlipForConditionalGeneration.fromPretrained(models.captions, options),
      "a replica for matches": (options) => NeuronBlipForImageTextRetrieval.fromPretrained(models.matches, options),
      loadImage: (options) => loadImage(picture, options),
      preprocess: (options) => new BlipImageProcessor().preprocess(picture, options),
      processImages: (options) => processor.processImages(picture, options),
      processText: async (options) => processor.processText("dog?", options),
      encode: async (options) => processor.tokenizer.encode("dog?", options),
      decode: async (options) => processor.tokenizer.decode([1], options),
      "BlipProcessor.fromPretrained": (options) => BlipProcessor.fromPretrained(models.answers, options),
      BlipImageProcessor: async (options) => new BlipImageProcessor(options),
      TextStreamer: async (options) => new TextStreamer(processor, options),
      Executor: async (options) => new Executor(options),
      "TorchModule.load": (options) => TorchModule.load(`${models.answers}/vision_model.pt`, options),
    };
  });
  after(() => Promise.all(open.map((each) => each[Symbol.asyncDispose]())));

  it("whose getters throw are INVALID_INPUT, with the reason, in every call", async () => {
    const options = Object.defineProperty({}, "signal", {
      enumerable: true,
      get() {
        throw new RangeError("not to be read");
      },
    });
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(
        async () => call(options),
        fails("INVALID_INPUT", /options of .* cannot be read: not to be read\./),
        name,
      );
    }
  });

  it("that are no object are INVALID_INPUT in every call", async () => {
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(
        async () => call(5 as unknown as object),
        fails("INVALID_INPUT", /object|pictureCache/),
        name,
      );
    }
  });

  it("that a replica does not have are refused by name", async () => {
    for (const name of Object.keys(calls).filter((name) => name.startsWith("a replica"))) {
      await assert.rejects(
        async () => calls[name]?.({ thread: 1 }),
        fails("INVALID_INPUT", /no option "thread" of fromPretrained\. The options are threads, /),
        name,
      );
    }
  });

  it("are read once, and inherited ones, too", async () => {
    let reads = 0;
    class Options {
      get maxPixels() {
        reads++;
        return 10;
      }
    }
    await assert.rejects(loadImage(picture, new Options()), fails("IMAGE_TOO_LARGE"));
    assert.equal(reads, 1);
  });
});
