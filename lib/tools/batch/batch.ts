/** Answers for a whole input: one line of results for each of its lines, in their order, whatever happens meanwhile. */
import { join, resolve } from "node:path";
import { readBlipConfig } from "../../blip/blip-config.js";
import { modelDirectoryOf } from "../../blip/model-directory.js";
import { type HubOptions, withoutRevision } from "../../hub/hub-options.js";
import { NeuronBlip, type NeuronBlipOptions } from "../../index.js";
import { makeDirectory } from "../../util/files.js";
import { BatchError } from "./batch-error.js";
import { type BatchInput, openInput } from "./input.js";
import { Lock } from "./lock.js";
import { identityOf } from "./model-identity.js";
import { nameOf, PartFile } from "./part-file.js";
import { type Result, resultOf, type Standing } from "./result-line.js";
import { belongsTo, type Shard } from "./shard.js";

export interface BatchOptions extends Standing {
  readonly model: string;
  readonly hub: HubOptions;
  readonly loading: NeuronBlipOptions;
  readonly input: string;
  readonly output: string;
  readonly shard: Shard;
  /** Whether to begin anew where an earlier run has left or finished an output. */
  readonly restart: boolean;
  /** Aborted, no further line is begun, and those under way are written. */
  readonly signal: AbortSignal;
  progress(progress: BatchProgress): void;
}

export interface BatchProgress {
  /** The output. */
  readonly path: string;
  /** Lines that have a result, and how many of those are errors. */
  readonly done: number;
  readonly failed: number;
  /** Those of earlier runs. */
  readonly earlier: number;
  /** How many the shard has, nearly: of several shards only the lines of all are counted before. */
  readonly total: number;
}

export interface BatchOutcome extends BatchProgress {
  readonly state: "whole" | "was whole before" | "stopped";
  readonly seconds: number;
  readonly leftOut: number;
}

/** Lines under way for each replica: enough to fill its batch, while the pictures of the next are decoded. */
const AT_ONCE = 32;
/** Bytes of lines under way. */
const BYTES_AT_ONCE = 64 * 2 ** 20;

/**
 * Runs a shard to its end, from where an earlier run has come.
 * @throws BatchError for what trying again cannot mend; InUseError; NeuronBlipError; the system's error where the output cannot be
 * written.
 */
export async function runBatch(options: BatchOptions): Promise<BatchOutcome> {
  const { output, shard, signal } = options;
  const input = await openInput(options.input, signal);
  const directory = await modelDirectoryOf(options.model, { ...options.hub, signal });
  const { architecture } = await readBlipConfig(directory);
  if (architecture === "BlipForImageTextRetrieval") {
    throw new BatchError("batch takes a model that answers questions or makes captions; this one matches texts.");
  }
  const makesCaptions = architecture === "BlipForConditionalGeneration";
  if (makesCaptions && options.questions.length > 0) {
    throw new BatchError("This model makes captions: it takes no --question.");
  }
  if (input.isDirectory && !makesCaptions && options.questions.length === 0) {
    throw new BatchError("Give a --question for the pictures of a directory, or several.");
  }
  const facts = {
    input: input.sha256,
    shard: `${shard.index}/${shard.count}`,
    model: await identityOf(directory),
    questions: options.questions,
    options: resultOptions(options),
  };
  await makeDirectory(resolve(output));
  await using lock = await Lock.take(join(output, `${nameOf(shard)}.lock`), signal);
  const part = await PartFile.open(output, shard, facts, options.restart);
  if (part === undefined) return wasWhole(options, input);
  try {
    const loading = {
      ...options.loading,
      ...withoutRevision(options.hub),
      maxQueueLength: { perReplica: 2 * AT_ONCE },
    };
    await using model = await NeuronBlip.fromPretrained(directory, { ...loading, signal });
    const outcome = await new Run(options, model, part, input).toEnd();
    if (outcome.state === "whole") {
      await lock.check();
      await part.finish();
    }
    return outcome;
  } finally {
    await part.close();
  }
}

/** Those options that the results depend on. */
function resultOptions({ loading, options }: BatchOptions): Readonly<Record<string, unknown>> {
  const { dtype, tokenizer, maxPixels, questionLength, answerLength } = loading;
  return JSON.parse(JSON.stringify({ dtype, tokenizer, maxPixels, questionLength, answerLength, ...options }));
}

function wasWhole({ output, shard }: BatchOptions, { leftOut }: BatchInput): BatchOutcome {
  const path = join(output, `${nameOf(shard)}.jsonl`);
  return { path, done: 0, failed: 0, earlier: 0, total: 0, state: "was whole before", seconds: 0, leftOut };
}

/** A line under way. */
interface Pending {
  readonly size: number;
  readonly settled: Promise<void>;
  outcome: { readonly result: Result } | { readonly error: unknown } | undefined;
}

class Run {
  readonly #options: BatchOptions;
  readonly #model: NeuronBlip;
  readonly #part: PartFile;
  readonly #input: BatchInput;
  /** Ends what is under way where the run fails. */
  readonly #failing = new AbortController();
  readonly #pending: Pending[] = [];
  #pendingBytes = 0;
  #done = 0;
  #failed = 0;
  #earlier = 0;

  constructor(options: BatchOptions, model: NeuronBlip, part: PartFile, input: BatchInput) {
    this.#options = options;
    this.#model = model;
    this.#part = part;
    this.#input = input;
  }

  async toEnd(): Promise<BatchOutcome> {
    const { shard, signal } = this.#options;
    const most = AT_ONCE * this.#model.numModels;
    const began = performance.now();
    try {
      for await (const request of this.#input.requests()) {
        if (signal.aborted) break;
        if (!belongsTo(shard, request.id)) continue;
        const earlier = await this.#part.earlierResult(request.id);
        if (earlier) {
          this.#count(earlier === "failed");
          this.#earlier++;
          continue;
        }
        this.#begin(request);
        while (this.#pending.length >= most || this.#pendingBytes > BYTES_AT_ONCE) await this.#writeFirst();
      }
      while (this.#pending.length > 0) await this.#writeFirst();
    } finally {
      this.#failing.abort();
      await Promise.all(this.#pending.map(({ settled }) => settled));
    }
    const state = signal.aborted ? "stopped" : "whole";
    const { leftOut } = this.#input;
    return { ...this.#progress(), state, seconds: (performance.now() - began) / 1000, leftOut };
  }

  #begin(request: Parameters<typeof resultOf>[1]): void {
    const result = resultOf(this.#model, request, this.#options, this.#failing.signal);
    const settled = result.then(
      (result) => {
        pending.outcome = { result };
      },
      (error: unknown) => {
        pending.outcome = { error };
      },
    );
    const pending: Pending = { size: request.size, settled, outcome: undefined };
    this.#pending.push(pending);
    this.#pendingBytes += request.size;
  }

  /** Waits for the first line under way, and writes it with those after it that are ready. */
  async #writeFirst(): Promise<void> {
    await this.#pending[0]?.settled;
    let lines = "";
    let failure: { readonly error: unknown } | undefined;
    for (let first = this.#pending[0]; first?.outcome && !failure; first = this.#pending[0]) {
      if ("error" in first.outcome) failure = first.outcome;
      else {
        const { line, failed } = first.outcome.result;
        lines += line;
        this.#count(failed);
      }
      this.#pending.shift();
      this.#pendingBytes -= first.size;
    }
    await this.#part.append(lines);
    this.#options.progress(this.#progress());
    if (failure) throw failure.error;
  }

  #count(failed: boolean): void {
    this.#done++;
    if (failed) this.#failed++;
  }

  #progress(): BatchProgress {
    const total = Math.max(this.#done, Math.round(this.#input.count / this.#options.shard.count));
    return { path: this.#part.path, done: this.#done, failed: this.#failed, earlier: this.#earlier, total };
  }
}
