import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Answer, NeuronBlip, VisionModelWrapper } from "neuron-blip";
import { assertAlike, fails, fixture } from "../helpers.js";

const PICTURES = ["astronaut.png", "chelsea.png", "coffee.png"].map((name) => fixture(`pictures/${name}`));
const [astronaut, chelsea, coffee] = PICTURES as [string, string, string];
const QUESTIONS = ["what is it?", "dog?", "is there a boat near the river, or not?"];
const short = { maxNewTokens: 4 };

describe("lists of pictures and questions", () => {
  let blip: NeuronBlip;
  let batch: number;
  before(async () => {
    // What is looked at how often is counted here; what is kept is for picture-cache.test.ts.
    blip = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), { threads: 1, pictureCache: false });
    batch = 2;
  });
  after(() => blip.dispose());

  /** How many pictures the vision model looks at in a call: runs of its compiled batch. */
  const countLooks = async (call: () => Promise<unknown>): Promise<number> => {
    const { forward } = VisionModelWrapper.prototype;
    let runs = 0;
    VisionModelWrapper.prototype.forward = function (pixels) {
      runs++;
      return forward.call(this, pixels);
    };
    try {
      await call();
    } finally {
      VisionModelWrapper.prototype.forward = forward;
    }
    return runs;
  };

  const oneByOne = async (pictures: readonly string[], questions: readonly string[]): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (const [i, picture] of pictures.entries()) {
      answers.push(await blip.answer(picture, questions[i] as string, short));
    }
    return answers;
  };

  it("answers one question about each picture, in order, as one by one", async () => {
    const expected = await oneByOne(PICTURES, QUESTIONS);
    assert(new Set(expected.map(({ tokenIds }) => tokenIds.join())).size > 1, "the answers are all alike");
    assertAlike(await blip.answer(PICTURES, QUESTIONS, short), expected);
    const reversed = await blip.answer([...PICTURES].reverse(), [...QUESTIONS].reverse(), short);
    assertAlike(reversed, [...expected].reverse());
  });

  it("asks one question about several pictures, and several about one", async () => {
    const same = PICTURES.map(() => "dog?");
    assertAlike(await blip.answer(PICTURES, "dog?", short), await oneByOne(PICTURES, same));
    const picture = QUESTIONS.map(() => chelsea);
    assertAlike(await blip.answer(chelsea, QUESTIONS, short), await oneByOne(picture, QUESTIONS));
  });

  it("gives a list for a list, of one and of none, and one answer for one", async () => {
    const expected = await blip.answer(coffee, "dog?", short);
    assertAlike(await blip.answer([coffee], "dog?", short), [expected]);
    assertAlike(await blip.answer(coffee, ["dog?"], short), [expected]);
    assert.deepEqual(await blip.answer([coffee], ["dog?"], { ...short, settled: true }), [
      { status: "fulfilled", value: expected },
    ]);
    assert.deepEqual(await blip.answer([], "dog?"), []);
    assert.deepEqual(await blip.answer(coffee, []), []);
    assert.deepEqual(await blip.answer([], [], { settled: true }), []);
  });

  it("refuses lists whose lengths differ", async () => {
    for (const settled of [false, true]) {
      const wrong = blip.answer(PICTURES, ["dog?", "dog?"], { settled } as object);
      await assert.rejects(wrong, fails("INVALID_INPUT", /3 pictures.* 2 texts/));
    }
    await assert.rejects(blip.answer(PICTURES, []), fails("INVALID_INPUT"));
  });

  it("refuses a call without a question, and questions that are none", async () => {
    for (const question of [undefined, null, 5, {}]) {
      await assert.rejects(blip.answer(coffee, question as unknown as string), fails("INVALID_INPUT"));
      await assert.rejects(blip.answer(coffee, [question as unknown as string]), fails("INVALID_INPUT"));
    }
  });

  it("lets a bad picture and a bad question fail alone with `settled`, and throws the first's error without", async () => {
    const pictures = [astronaut, "none.png", coffee, chelsea, Buffer.from("no picture")];
    const questions = ["dog?", "dog?", "", "dog?", "dog?"];
    const outcomes = await blip.answer(pictures, questions, { ...short, settled: true });
    const [first, second, third, fourth, fifth] = outcomes as Required<typeof outcomes>;
    assertAlike(first, { status: "fulfilled", value: await blip.answer(astronaut, "dog?", short) });
    assertAlike(fourth, { status: "fulfilled", value: await blip.answer(chelsea, "dog?", short) });
    assert.equal(outcomes.length, 5);
    isRejected(second, "INVALID_IMAGE");
    isRejected(third, "INVALID_INPUT");
    isRejected(fifth, "INVALID_IMAGE");
    await assert.rejects(blip.answer(pictures, questions.fill("dog?"), short), fails("INVALID_IMAGE", /none\.png/));
  });

  it("lets a picture without pixels and a question too long fail alone, on one picture and one question too", async () => {
    const long = Array.from({ length: 30 }, () => "dog").join(" ");
    const asked = await blip.answer(coffee, ["dog?", long], { ...short, settled: true });
    assert.equal(asked[0]?.status, "fulfilled");
    isRejected(asked[1], "INPUT_TOO_LONG");
    const seen = await blip.answer([coffee, { data: new Uint8Array(0), width: 0, height: 0, channels: 3 }], "dog?", {
      ...short,
      settled: true,
    });
    assert.equal(seen[0]?.status, "fulfilled");
    isRejected(seen[1], "INVALID_INPUT");
    const none = await blip.answer("none.png", QUESTIONS, { settled: true });
    assert.equal(none.length, 3);
    for (const outcome of none) isRejected(outcome, "INVALID_IMAGE");
  });

  it("keeps message and code of errors with `settled`, and of what 100,000 of them would hold the loop with the code", async () => {
    const pictures = ["none.png", "nor this.png", fixture("pictures")];
    const outcomes = await blip.answer(pictures, "dog?", { ...short, settled: true });
    const causes = outcomes.map((outcome, i) => {
      isRejected(outcome, "INVALID_IMAGE");
      const { message, stack, cause } = (outcome as PromiseRejectedResult).reason as Error;
      assert.ok(message.includes(pictures[i] as string), message);
      assert.equal(stack, `NeuronBlipError: ${message}`);
      return cause as NodeJS.ErrnoException;
    });
    assert.equal(causes[0]?.code, "ENOENT");
    assert.equal(causes[0]?.message, "ENOENT: no such file or directory");
    assert.equal(causes[1], causes[0], "one error for all files that are not there");
    assert.equal(causes[2]?.message, "it is not a file");
  });

  it("ends where it is aborted while its pictures cannot be read, and answers the next", async () => {
    await using cached = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), { threads: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    /** A file that aborts the call when it is opened. */
    const last = {
      fd: 1,
      read: () => Promise.reject(new Error("not read")),
      stat: () => {
        controller.abort();
        return Promise.reject(new Error("it is gone"));
      },
    };
    const pictures = [last, ...Array.from({ length: 200 }, (_, i) => fixture(`pictures/none-${i}.png`))];
    await assert.rejects(cached.answer(pictures, "dog?", { signal, settled: true }), fails("ABORTED"));
    assert.equal(typeof (await cached.answer(chelsea, "dog?", short)).answer, "string");
  });

  it("gives the same bad text the same error, and others their own", async () => {
    const outcomes = await blip.answer(chelsea, ["", "", " ", "dog?", ""], { ...short, settled: true });
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["rejected", "rejected", "rejected", "fulfilled", "rejected"],
    );
    const messages = outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.message : ""));
    assert.match(messages[0], /""/);
    assert.match(messages[2], /" "/);
    assert.equal(messages[4], messages[0]);
  });

  it("throws ABORTED and DISPOSED as a whole, `settled` or not", async () => {
    const signal = AbortSignal.abort();
    const aborted = blip.answer(PICTURES, QUESTIONS, { signal, settled: true });
    await assert.rejects(aborted, fails("ABORTED"));
    const controller = new AbortController();
    const stop = (sequence: readonly number[]) => {
      if (sequence.length === 2) controller.abort();
    };
    const options = { minNewTokens: 4, logitsProcessors: [stop], signal: controller.signal, settled: true as const };
    await assert.rejects(blip.answer(PICTURES, QUESTIONS, options), fails("ABORTED"));
    const other = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), { threads: 1 });
    await other.dispose();
    await assert.rejects(other.answer(PICTURES, QUESTIONS, { settled: true }), fails("DISPOSED"));
  });

  it("looks once at a picture that is given many times, and not at all at one that was looked at", async () => {
    const many = Array.from({ length: 9 }, () => chelsea);
    assert.equal(await countLooks(() => blip.answer(many, "dog?", short)), 1);
    assert.equal(await countLooks(() => blip.answer(chelsea, Array(9).fill("dog?"), short)), 1);
    const mixed = [...many, ...PICTURES, ...many];
    assert.equal(await countLooks(() => blip.answer(mixed, "dog?", short)), Math.ceil(3 / batch));
    using seen = await blip.encodeImage(chelsea);
    assert.equal(await countLooks(() => blip.answer([seen, seen], "dog?", short)), 0);
    assertAlike(await blip.answer(seen, "dog?", short), await blip.answer(chelsea, "dog?", short));
  });

  it("looks at no picture whose question cannot be asked", async () => {
    const looks = await countLooks(() => blip.answer([astronaut, chelsea], ["", ""], { settled: true }));
    assert.equal(looks, 0);
  });

  it("answers about more pictures than it holds at once, in order", async () => {
    // Different Buffers, so that each is a picture of its own.
    const files = Array.from({ length: 70 }, (_, i) => readFileSync(PICTURES[i % 3] as string));
    const expected = await blip.answer(PICTURES, "what is it?", { maxNewTokens: 2 });
    let answers: Answer[] = [];
    const looks = await countLooks(async () => {
      answers = await blip.answer(files, "what is it?", { maxNewTokens: 2 });
    });
    assert.equal(looks, 35);
    assert.equal(answers.length, 70);
    for (const [i, answer] of answers.entries()) assertAlike(answer, expected[i % 3]);
  });

  it("shares a list among replicas, with the answers of one", async () => {
    await using two = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), {
      threads: 1,
      numModels: 2,
      pictureCache: false,
    });
    const pictures = Array.from({ length: 11 }, (_, i) => PICTURES[i % 3] as string);
    const questions = pictures.map((_, i) => QUESTIONS[i % 2] as string);
    assertAlike(await two.answer(pictures, questions, short), await blip.answer(pictures, questions, short));
    const models = new Set<VisionModelWrapper>();
    const { forward } = VisionModelWrapper.prototype;
    VisionModelWrapper.prototype.forward = function (pixels) {
      models.add(this);
      return forward.call(this, pixels);
    };
    try {
      await two.answer(PICTURES, "dog?", short);
    } finally {
      VisionModelWrapper.prototype.forward = forward;
    }
    assert.equal(models.size, 2, "one replica did all the work");
  });
});

function isRejected(outcome: PromiseSettledResult<unknown> | undefined, code: Parameters<typeof fails>[0]): void {
  assert.equal(outcome?.status, "rejected");
  fails(code)((outcome as PromiseRejectedResult).reason);
}
