import { performance } from "node:perf_hooks";
import type { NeuronBlip } from "neuron-blip";
import { ByteBudget } from "../limits/byte-budget.js";
import type { Limits } from "../options.js";
import { fromBase64, fromDataUrl } from "../pictures/base64.js";
import type { PictureUrls } from "../pictures/picture-urls.js";
import { Problem } from "../problem.js";
import { checkQuestions } from "../protocols/questions.js";
import { answerOf, captionOf } from "../protocols/results.js";
import type { JobFiles } from "./job-files.js";
import { type Job, type JobPicture, jobOf } from "./job-form.js";

/** What a job comes to. */
export interface JobResult {
  /** Of a model that answers. */
  readonly answers?: readonly ({ readonly question: string } & ReturnType<typeof answerOf>)[];
  /** Of a model that captions. */
  readonly caption?: ReturnType<typeof captionOf>;
  /** The model's name. */
  readonly model: string;
  /** From the job's start to its result. */
  readonly ms: number;
}

export interface AnswererParts {
  readonly blip: NeuronBlip;
  readonly modelName: string;
  readonly standingQuestions: readonly string[];
  readonly limits: Limits;
  readonly urls: PictureUrls;
  readonly files: JobFiles;
}

/** Does jobs: reads their pictures, and asks the model. */
export class Answerer {
  readonly #parts: AnswererParts;
  readonly #bytesInHand: ByteBudget;

  constructor(parts: AnswererParts) {
    this.#parts = parts;
    this.#bytesInHand = new ByteBudget(parts.limits.maxBytesInHand);
  }

  /**
   * Does one job.
   * @param data checked here.
   * @throws Problem, and what the model fails with.
   */
  async do(data: unknown, callId: string): Promise<JobResult> {
    const began = performance.now();
    const { blip, modelName, limits } = this.#parts;
    const job = jobOf(data);
    const share = this.#bytesInHand.share();
    const timeout = new AbortController();
    const timer = setTimeout(() => {
      timeout.abort(new Problem("TIMEOUT", `The job took more than ${limits.requestTimeoutMs} ms.`));
    }, limits.requestTimeoutMs);
    const { signal } = timeout;
    try {
      const questions = this.#questionsOf(job);
      const picture = await this.#read(job.picture, { signal, share });
      const call = { ...job.options, signal, callId };
      const done = () => ({ model: modelName, ms: Math.round(performance.now() - began) });
      if (questions === undefined) {
        return { caption: captionOf(await blip.caption(picture, call)), ...done() };
      }
      const answers = await blip.answer(picture, questions, call);
      return {
        answers: answers.map((answer, i) => ({ question: questions[i] ?? "", ...answerOf(answer) })),
        ...done(),
      };
    } finally {
      clearTimeout(timer);
      share.end();
    }
  }

  /** Returns what is asked; undefined of a model that captions. */
  #questionsOf({ questions: given }: Job): readonly string[] | undefined {
    const { blip, standingQuestions, limits } = this.#parts;
    if (blip.architecture === "BlipForConditionalGeneration") {
      if (given !== undefined)
        throw new Problem("INVALID_INPUT", "This model captions pictures: it takes no questions.");
      return undefined;
    }
    const questions = given === undefined || given.length === 0 ? standingQuestions : given;
    if (questions.length === 0) {
      throw new Problem("INVALID_INPUT", "The job has no questions, and the worker has no --question.");
    }
    checkQuestions(questions, limits);
    return questions;
  }

  async #read(picture: JobPicture, options: Parameters<PictureUrls["fetch"]>[1]): Promise<Uint8Array> {
    const { urls, files } = this.#parts;
    if ("file" in picture) return files.read(picture.file, options.share);
    let bytes: Uint8Array | undefined;
    if ("base64" in picture) bytes = fromBase64(picture.base64);
    else {
      bytes = fromDataUrl(picture.url);
      if (bytes === undefined) return urls.fetch(picture.url, options);
    }
    options.share.take(bytes.length);
    return bytes;
  }
}
