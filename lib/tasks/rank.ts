import { tooLong } from "../blip/compiled-shapes.js";
import { NeuronBlipForQuestionAnswering, type RankOptions } from "../blip/neuron-blip-for-question-answering.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { RankedSequence } from "../generation/ranking.js";
import type { Picture } from "../images/encoded-image.js";
import { snapshotBytes } from "../images/open-picture.js";
import type { BlipProcessor } from "../processing/blip-processor.js";
import type { Job } from "../serving/batch-queue.js";
import { inTurns } from "../util/turns.js";
import { encodeWithin, type TextOptions } from "./encode-text.js";
import { runPair } from "./for-each-pair.js";
import {
  type AnyModel,
  holdPicture,
  type LoadedModel,
  type PreparedPair,
  replicaAs,
  textAboutImage,
} from "./loaded-model.js";
import type { RankedAnswer } from "./results.js";

export interface RankAnswerOptions extends RankOptions, TextOptions {}

/** Ranks given answers to a question: see `NeuronBlip.rank`. */
export async function rank(
  model: LoadedModel,
  image: Picture,
  question: string,
  candidates: readonly string[],
  rankOptions: RankAnswerOptions,
): Promise<RankedAnswer[]> {
  const { truncation = false, signal, callId, ...options } = readOptions(rankOptions, "rank");
  const ranking = (replica: AnyModel) =>
    replicaAs(replica, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "rank");
  const replica = ranking(model.anyReplica);
  if (!Array.isArray(candidates) || candidates.length === 0) {
    throw new NeuronBlipError("INVALID_INPUT", "Give the candidates as an array of one or more strings.");
  }
  throwIfAborted(signal);
  const given: string[] = candidates.slice();
  const picture = snapshotBytes(image);
  // Written out, V8 soon allocates what will live long where it is not moved; with `...ranked` it does not.
  const toAnswer = ({ index, probability, logLikelihood, firstTokenProbability }: RankedSequence): RankedAnswer => {
    return { answer: given[index] as string, index, probability, logLikelihood, firstTokenProbability };
  };
  const maxLength = replica.shapes.questionLength;
  const encode = (text: string) => model.processor.tokenizer.encodeSteps(text, { maxLength, truncation });
  return model.call({ task: "rank", callId }, async (ticket) => {
    const tokenIds = await inTurns(candidateSteps(model.processor, replica, given), signal);
    const job: Job<AnyModel, PreparedPair, RankedAnswer[]> = {
      key: undefined,
      limit: 1,
      work: async (replica, rows, signal) => [
        await ranking(replica).rankRow(rows.map(textAboutImage), tokenIds, { ...options, signal }, toAnswer),
      ],
      hold: holdPicture,
    };
    const run = { signal, ticket };
    return runPair(picture, question, model.images, { ...run, encode }, (pairs) => model.queue.run(pairs, job, run));
  });
}

/** Encodes each candidate, from the decoder's start token to [SEP]. */
function* candidateSteps(
  processor: BlipProcessor,
  { config, shapes }: NeuronBlipForQuestionAnswering,
  candidates: readonly string[],
): Generator<void, number[][]> {
  const { answerLength } = shapes;
  const tokenIds: number[][] = [];
  for (const candidate of candidates) {
    yield;
    const ids = yield* encodeWithin(processor, candidate, { maxLength: answerLength + 1 }, (shown) =>
      tooLong("INPUT_TOO_LONG", `The candidate ${shown}`, undefined, answerLength, "answer", shapes),
    );
    ids[0] = config.bosTokenId;
    tokenIds.push(ids.slice()); // without the room that it has to grow
  }
  return tokenIds;
}
