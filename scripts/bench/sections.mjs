// What is measured. Each section asks the competitors the same, in turn; see rounds.mjs.
import { NAMES } from "./competitors.mjs";
import { inTurn } from "./rounds.mjs";

/** @typedef {import("./competitors.mjs").Name} Name */
/** @typedef {import("./rounds.mjs").Result} Result */
/** @typedef {import("./child.mjs").Outcome} Outcome */

/**
 * @typedef {object} Bench what sections work with
 * @property {import("./competitors.mjs").Competitors} competitors
 * @property {(index: number) => string} small the path of a picture of 640 x 480; those of near indexes are different
 * @property {(index: number) => string} large of 12 megapixels
 * @property {(index: number) => string} question of 8 tokens; those of near indexes are different
 * @property {number} tokens that each answer has
 * @property {number} rounds
 * @property {number} loadSeconds how long each number of callers is measured
 * @property {number} delaySeconds how long the event loop is watched
 * @property {number} threads
 * @property {boolean} hasBfloat16 whether this CPU calculates in it
 * @property {ReturnType<typeof import("./work.mjs").workOfModel>} work of the model
 * @property {Map<string, Map<string, string>>} answers what the competitors answered, by picture and question
 */

export const TASKS = /** @type {const} */ ({
  whole: "a new picture, one question",
  next: "the next question on the same picture",
  questions: "8 questions on a new picture",
  pictures: "8 pictures, one question each",
  vision: "vision",
  step: "decoder step",
  multiplication: "matrix multiplication",
  reading: "reading memory",
  linears: "linears of a decoder step",
  preprocessSmall: "640 x 480 JPEG",
  preprocessLarge: "12-megapixel JPEG",
  start: "from the start of the process to the first answer",
  load: "until all is loaded",
  peak: "peak memory (RSS)",
  oneReplica: "1 replica",
  twoReplicas: "2 replicas",
  delay: "largest delay",
});

/** What number types are called in results. */
export const NUMBER_TYPES = /** @type {const} */ ({ float32: "fp32", bfloat16: "bf16", int8: "int8" });

/** @param {number} callers */
export const seenTask = (callers) => `${callers} ${callers === 1 ? "caller" : "callers"}, two pictures seen before`;
/** @param {number} callers */
export const newTask = (callers) => `${callers} ${callers === 1 ? "caller" : "callers"}, a new picture with every call`;

const CALLERS = [1, 2, 4, 8];
const BATCHES = [1, 2, 4, 8, 16];
const FAST = [NAMES.oursFp32, NAMES.oursBf16, NAMES.oursInt8];
const OURS = [NAMES.oursTutorial, ...FAST];
const ONNX = [NAMES.onnx, NAMES.onnxInt8, NAMES.onnxNode];
const PEERS = [NAMES.tutorial, NAMES.transformers, NAMES.transformersBf16, ...ONNX];
const ALL = [...PEERS, ...OURS];

/**
 * One task, by several competitors in turn.
 * @param {Bench} bench
 * @param {{section: string, task: string, unit?: string, rounds?: number, warmUp?: number}} what
 * @param {readonly Name[]} all of them, those left out that this host cannot run
 * @param {(name: Name, round: number) => Promise<number>} run
 * @returns {Promise<Result[]>}
 */
async function measure(bench, { section, task, unit = "ms", rounds = bench.rounds, warmUp = 1 }, all, run) {
  const names = bench.competitors.runnable(all);
  const samples = await inTurn(
    names.map((name) => [name, (/** @type {number} */ round) => run(name, round)]),
    { rounds, warmUp },
  );
  return names.map((competitor) => ({ section, task, competitor, unit, samples: samples.get(competitor) ?? [] }));
}

/** @param {number | undefined} value */
function number(value) {
  if (value === undefined) throw new Error("a competitor did not tell what was asked for");
  return value;
}

/**
 * Pictures with questions to one competitor; what it answers is kept, to be compared.
 * @param {Bench} bench @param {Name} name @param {string[]} pictures @param {string[]} questions
 */
async function whole(bench, name, pictures, questions) {
  const child = await bench.competitors.get(name);
  const { ms, tokens = [] } = await child.ask("whole", { pictures, questions, tokens: bench.tokens });
  for (const [i, answer] of tokens.entries()) {
    const about = `${pictures[i]} ${questions[i]}`;
    const said = bench.answers.get(about) ?? new Map();
    bench.answers.set(about, said.set(name, answer.slice(0, bench.tokens + 1).join(" ")));
  }
  return number(ms);
}

/**
 * A process from its start to its first answer: times in ms, memory in bytes.
 * @param {Bench} bench @param {Name} name @param {number} round
 */
async function started(bench, name, round) {
  const child = await bench.competitors.start(name);
  try {
    const details = { pictures: [bench.small(round)], questions: [bench.question(round)], tokens: bench.tokens };
    await child.ask("whole", details);
    const total = performance.now() - child.startedAt;
    return { total, load: child.readyMs, peak: child.peakMemory };
  } finally {
    await child.close();
  }
}

/** @type {Record<string, (bench: Bench) => Promise<Result[]>>} */
export const SECTIONS = {
  async whole(bench) {
    return measure(bench, { section: "whole", task: TASKS.whole }, ALL, (name, round) =>
      whole(bench, name, [bench.small(round)], [bench.question(round)]),
    );
  },

  async next(bench) {
    const names = [NAMES.tutorial, ...OURS];
    return measure(bench, { section: "next", task: TASKS.next }, names, async (name, round) => {
      const picture = bench.small(round + 7);
      const question = bench.question(round + 100);
      // The tutorial's pipeline does all of it anew.
      if (name === NAMES.tutorial) return whole(bench, name, [picture], [question]);
      const child = await bench.competitors.get(name);
      const warm = [bench.question(round + 101), bench.question(round + 102)];
      return number((await child.ask("next", { picture, warm, question, tokens: bench.tokens })).ms);
    });
  },

  async eight(bench) {
    const names = [NAMES.tutorial, ...OURS];
    const eight = [0, 1, 2, 3, 4, 5, 6, 7];
    const questions = await measure(bench, { section: "eight", task: TASKS.questions }, names, (name, round) =>
      whole(
        bench,
        name,
        eight.map(() => bench.small(round + 13)),
        eight.map((i) => bench.question(round * 8 + i)),
      ),
    );
    const pictures = await measure(bench, { section: "eight", task: TASKS.pictures }, names, (name, round) =>
      whole(
        bench,
        name,
        eight.map((i) => bench.small(round * 8 + i)),
        eight.map(() => bench.question(round)),
      ),
    );
    return [...questions, ...pictures];
  },

  async limits(bench) {
    const child = await bench.competitors.startLimits();
    const shapes = bench.work.decoderLinears;
    /** @type {(keyof typeof NUMBER_TYPES)[]} */
    const types = bench.hasBfloat16 ? ["float32", "bfloat16", "int8"] : ["float32", "int8"];
    const giga = (/** @type {Outcome} */ { perSecond }) => number(perSecond) / 1e9;
    /** @type {{task: string, competitor: string, unit: string, run: () => Promise<number>}[]} */
    const limits = [
      ...types.map((dtype) => ({
        task: TASKS.multiplication,
        competitor: NUMBER_TYPES[dtype],
        unit: dtype === "int8" ? "GOP/s" : "GFLOP/s",
        run: async () => giga(await child.ask("multiplication", { dtype })),
      })),
      { task: TASKS.reading, competitor: "", unit: "GB/s", run: async () => giga(await child.ask("reading")) },
      {
        task: TASKS.linears,
        competitor: NUMBER_TYPES.int8,
        unit: "ms",
        run: async () => number((await child.ask("linears", { shapes })).ms),
      },
    ];
    try {
      const samples = await inTurn(
        limits.map((limit, i) => [i, limit.run]),
        { rounds: bench.rounds, warmUp: 1 },
      );
      return limits.map(({ run, ...about }, i) => ({ section: "limits", ...about, samples: samples.get(i) ?? [] }));
    } finally {
      await child.close();
    }
  },

  async stages(bench) {
    const results = [];
    /** @type {[string, readonly Name[]][]} */
    const stages = [
      [TASKS.vision, ALL],
      ["text encoder", ALL],
      ["a picture's keys and values", FAST],
      ["text encoder, picture known", FAST],
      [TASKS.step, ALL],
    ];
    for (const [name, names] of stages) {
      results.push(
        ...(await measure(bench, { section: "stages", task: name }, names, async (competitor) => {
          const child = await bench.competitors.forStages(competitor);
          return number((await child.ask("stage", { name, picture: bench.small(0), question: bench.question(0) })).ms);
        })),
      );
    }
    await bench.competitors.endStages();
    return results;
  },

  async batches(bench) {
    const results = [];
    // ONNX Runtime's vision part and transformers' take any number of pictures too.
    const names = [NAMES.transformers, NAMES.onnx, NAMES.onnxNode, ...FAST];
    const rounds = Math.min(3, bench.rounds);
    for (const size of BATCHES) {
      const picture = bench.small(0);
      const vision = { section: "batches", task: `vision, ${size} at once, for each`, rounds };
      results.push(
        ...(await measure(bench, vision, names, async (name) => {
          const child = await bench.competitors.forStages(name);
          return number((await child.ask("vision_batch", { size, picture })).ms) / size;
        })),
      );
    }
    await bench.competitors.endStages();
    for (const size of BATCHES) {
      const batch = { section: "batches", task: `next questions, ${size} at once, for each`, rounds };
      results.push(
        ...(await measure(bench, batch, FAST, async (name, round) => {
          const child = await bench.competitors.get(name);
          const warm = [bench.question(0), bench.question(1)];
          const questions = Array.from({ length: size }, (_, i) => bench.question(round * size + i));
          const details = { picture: bench.small(round), warm, questions, tokens: bench.tokens };
          return number((await child.ask("next_batch", details)).ms) / size;
        })),
      );
    }
    return results;
  },

  async preprocessing(bench) {
    const results = [];
    /** @type {[string, (index: number) => string][]} */
    const sizes = [
      [TASKS.preprocessSmall, bench.small],
      [TASKS.preprocessLarge, bench.large],
    ];
    const tutorial = await bench.competitors.get(NAMES.tutorial);
    const ours = await bench.competitors.get(NAMES.oursFp32);
    for (const [task, pictureOf] of sizes) {
      /** @type {[string, (round: number) => Promise<Outcome>][]} */
      const runs = [
        ["Pillow + transformers", (round) => tutorial.ask("preprocess", { picture: pictureOf(round) })],
        ["ours, sharp", (round) => ours.ask("preprocess", { picture: pictureOf(round), decoder: "sharp" })],
        ["ours, jimp", (round) => ours.ask("preprocess", { picture: pictureOf(round), decoder: "jimp" })],
      ];
      const samples = await inTurn(
        runs.map(([name, run]) => [name, async (/** @type {number} */ round) => number((await run(round)).ms)]),
        { rounds: bench.rounds, warmUp: 1 },
      );
      for (const [competitor, values] of samples) {
        results.push({ section: "preprocessing", task, competitor, unit: "ms", samples: values });
      }
    }
    return results;
  },

  async callers(bench) {
    const results = [];
    const rounds = Math.min(3, bench.rounds);
    const unit = "answers/s";
    const questions = Array.from({ length: 64 }, (_, i) => bench.question(i));
    for (const kind of /** @type {const} */ (["seen", "new"])) {
      const taskOf = kind === "seen" ? seenTask : newTask;
      const pictures = kind === "seen" ? [bench.small(0), bench.small(1)] : everySmall(bench);
      for (const name of FAST) {
        const child = await bench.competitors.get(name);
        // The numbers of callers are what is compared: they take turns.
        const samples = await inTurn(
          CALLERS.map((callers) => [
            String(callers),
            async (/** @type {number} */ round) => {
              const seconds = round === 0 ? Math.min(1, bench.loadSeconds) : bench.loadSeconds; // the first warms up
              const details = { callers, seconds, pictures, questions, tokens: bench.tokens };
              return number((await child.ask(`callers_${kind}`, details)).perSecond);
            },
          ]),
          { rounds, warmUp: 1 },
        );
        for (const callers of CALLERS) {
          const values = samples.get(String(callers)) ?? [];
          results.push({ section: "callers", task: taskOf(callers), competitor: name, unit, samples: values });
        }
      }
    }
    return results;
  },

  async start(bench) {
    const names = bench.competitors.runnable([NAMES.tutorial, NAMES.transformers, NAMES.onnx, NAMES.onnxNode, ...FAST]);
    // The first round brings the files into the system's memory.
    const samples = await inTurn(
      names.map((name) => [name, (/** @type {number} */ round) => started(bench, name, round)]),
      { rounds: Math.min(3, bench.rounds), warmUp: 1 },
    );
    return names.flatMap((competitor) => {
      const found = samples.get(competitor) ?? [];
      const about = { section: "start", competitor };
      const peaks = found.flatMap(({ peak }) => (peak === undefined ? [] : [peak / 1e6]));
      return [
        { ...about, task: TASKS.start, unit: "ms", samples: found.map(({ total }) => total) },
        { ...about, task: TASKS.load, unit: "ms", samples: found.map(({ load }) => load) },
        ...(peaks.length > 0 ? [{ ...about, task: TASKS.peak, unit: "MB", samples: peaks }] : []),
      ];
    });
  },

  async memory(bench) {
    const rounds = Math.min(3, bench.rounds);
    const results = [];
    for (const competitor of FAST) {
      const samples = await inTurn(
        /** @type {const} */ ([1, 2]).map((numModels) => [
          String(numModels),
          async () => {
            const child = await bench.competitors.start(competitor, { numModels });
            // Both have answered before they are weighed, the same.
            for (let i = 0; i < 3; i++) {
              const pictures = [0, 1, 2, 3].map((j) => bench.small(4 * i + j));
              const questions = pictures.map((_, j) => bench.question(4 * i + j));
              await child.ask("whole", { pictures, questions, tokens: bench.tokens });
            }
            const { rss } = await child.ask("memory");
            await child.close();
            return number(rss) / 1e6;
          },
        ]),
        { rounds },
      );
      for (const [count, task] of /** @type {const} */ ([
        ["1", TASKS.oneReplica],
        ["2", TASKS.twoReplicas],
      ])) {
        results.push({ section: "memory", task, competitor, unit: "MB", samples: samples.get(count) ?? [] });
      }
    }
    return results;
  },

  async delay(bench) {
    const results = [];
    const child = await bench.competitors.get(NAMES.oursBf16);
    // Every other picture is a large one.
    const pictures = everySmall(bench)
      .slice(0, 8)
      .flatMap((picture, i) => [bench.large(i), picture]);
    const questions = Array.from({ length: 64 }, (_, i) => bench.question(i));
    for (const decoder of ["sharp", "jimp"]) {
      const details = { callers: 4, seconds: bench.delaySeconds, pictures, questions, tokens: bench.tokens, decoder };
      const { largest, p99 } = await child.ask("delay", details);
      const competitor = `${NAMES.oursBf16}, ${decoder}`;
      results.push(
        { section: "delay", task: TASKS.delay, competitor, unit: "ms", samples: [number(largest)] },
        { section: "delay", task: "99th percentile", competitor, unit: "ms", samples: [number(p99)] },
      );
    }
    return results;
  },
};

/** @param {Bench} bench */
function everySmall(bench) {
  const first = bench.small(0);
  const pictures = [first];
  for (let i = 1; bench.small(i) !== first; i++) pictures.push(bench.small(i));
  return pictures;
}
