import { tooLong } from "../blip/compiled-shapes.js";
import { NeuronBlipForQuestionAnswering, type RankOptions } from "../blip/neuron-blip-for-question-answering.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { RankedSequence } from "../generation/ranking.js";
import type { Picture } from "../images/encoded-image.js";
import { snapshotBytes } from "../images/open-picture.js";
import type { BlipProcessor } from "../processing/blip-processor.js";
import { inTurns } from "../util/turns.js";
import { encodeWithin, type TextOptions } from "./encode-text.js";
import type { LoadedModel, PairJob } from "./loaded-model.js";
import type { RankedAnswer } from "./results.js";
import { checkModel, holdPicture, runPair } from "./task.js";

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
  checkModel(model, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "rank");
  const { processor, queue, replica } = model;
  if (!Array.isArray(candidates) || candidates.length === 0) {
    throw new NeuronBlipError("INVALID_INPUT", "Give the candidates as an array of one or more strings.");
  }
  throwIfAborted(signal);
  const given: string[] = candidates.slice();
  const picture = snapshotBytes(image);
  // Written out, V8 soon allocates what will live long where it is not moved; with `...ranked` it does not.
  const toAnswer = ({ index, probability, logLikelihood, firstTokenProbability }: RankedSequence): RankedAnswer => {
    return { answer: given[index] ?? "", index, probability, logLikelihood, firstTokenProbability };
  };
  const maxLength = replica.shapes.questionLength;
  const encode = (text: string) => processor.tokenizer.encodeSteps(text, { maxLength, truncation });
  return queue.admit({ task: "rank", callId }, async (ticket) => {
    const tokenIds = await inTurns(candidateSteps(processor, replica, given), signal);
    const job: PairJob<NeuronBlipForQuestionAnswering, RankedAnswer[]> = {
      key: undefined,
      limit: 1,
      work: async (replica, rows, signal) => [await replica.rankRow(rows, tokenIds, { ...options, signal }, toAnswer)],
      hold: holdPicture,
    };
    return runPair(model, picture, question, { signal, ticket, encode }, job);
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
