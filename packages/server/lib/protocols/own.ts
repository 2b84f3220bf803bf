/** Our own endpoints: /answer, /caption, /match and /rank, of which a model has those that it can do. */
import type { FastifyInstance } from "fastify";
import type { ServerContext } from "../context.js";
import { Problem } from "../problem.js";
import { replyWithEvents, type ServerSentEvent, wantsEvents } from "../sse.js";
import { callOf, streamAnswer, streamCaption } from "../tasks.js";
import type { GenerationFields } from "./generation-options.js";
import { type OwnRoute, readAsked } from "./own-requests.js";
import * as schemas from "./own-schemas.js";
import { checkQuestions, questionsOf } from "./questions.js";
import { answerOf, captionOf } from "./results.js";

interface Truncation {
  readonly truncation?: boolean;
}
type AnswerFields = GenerationFields & Truncation & { readonly questions?: readonly string[] };
type AnswerForm = GenerationFields & Truncation & { readonly question?: readonly string[] };
type CaptionFields = GenerationFields & { readonly prompt?: string };
type MatchFields = Truncation & { readonly texts?: readonly string[] };
type MatchForm = Truncation & { readonly text?: readonly string[] };
type Ranking = Truncation & { readonly k?: number; readonly labelSmoothing?: number };
type RankFields = Ranking & { readonly questions?: readonly string[]; readonly candidates?: readonly string[] };
type RankForm = Ranking & { readonly question?: readonly string[]; readonly candidate?: readonly string[] };

export async function ownEndpoints(app: FastifyInstance, { context }: { context: ServerContext }): Promise<void> {
  switch (context.blip.architecture) {
    case "BlipForQuestionAnswering":
      answerEndpoint(app, context);
      rankEndpoint(app, context);
      break;
    case "BlipForConditionalGeneration":
      captionEndpoint(app, context);
      break;
    case "BlipForImageTextRetrieval":
      matchEndpoint(app, context);
      break;
  }
}

function answerEndpoint(app: FastifyInstance, context: ServerContext): void {
  const schema = schemas.requestSchema(schemas.ANSWER, "Answers questions about a picture", schemas.ANSWERS);
  const formSchema = schemas.formSchema(schemas.ANSWER);
  const config = workOf("answer", schemas.ANSWER);
  app.post<OwnRoute<AnswerFields, AnswerForm>>("/answer", { schema, config }, async (request, reply) => {
    const { picture, json, form } = await readAsked(context, request, request, formSchema);
    const { question, ...formOptions } = form;
    const { questions: given, ...options } = { questions: question, ...formOptions, ...json };
    const questions = questionsOf(given, context);
    if (wantsEvents(request)) {
      async function* events(): AsyncGenerator<ServerSentEvent, void, void> {
        for (const [index, question] of questions.entries()) {
          for await (const next of streamAnswer(context, request, picture, question, options)) {
            if ("piece" in next) yield { event: "piece", data: { index, text: next.piece } };
            else yield { event: "answer", data: { index, question, ...answerOf(next.result) } };
          }
        }
        yield { event: "end", data: {} };
      }
      return replyWithEvents(request, reply, events(), errorEvent);
    }
    const answers = await context.blip.answer(picture, questions, { ...options, ...callOf(request) });
    return { answers: answers.map((answer, i) => ({ question: questions[i], ...answerOf(answer) })) };
  });
}

function captionEndpoint(app: FastifyInstance, context: ServerContext): void {
  const schema = schemas.requestSchema(schemas.CAPTION, "Describes a picture", schemas.CAPTIONED);
  const formSchema = schemas.formSchema(schemas.CAPTION);
  const config = workOf("caption", schemas.CAPTION);
  app.post<OwnRoute<CaptionFields, CaptionFields>>("/caption", { schema, config }, async (request, reply) => {
    const { picture, json, form } = await readAsked(context, request, request, formSchema);
    const options = { ...form, ...json };
    if (wantsEvents(request)) {
      async function* events(): AsyncGenerator<ServerSentEvent, void, void> {
        for await (const next of streamCaption(context, request, picture, options)) {
          if ("piece" in next) yield { event: "piece", data: { text: next.piece } };
          else yield { event: "caption", data: captionOf(next.result) };
        }
        yield { event: "end", data: {} };
      }
      return replyWithEvents(request, reply, events(), errorEvent);
    }
    return captionOf(await context.blip.caption(picture, { ...options, ...callOf(request) }));
  });
}

function matchEndpoint(app: FastifyInstance, context: ServerContext): void {
  const schema = schemas.requestSchema(schemas.MATCH, "Says how well texts describe a picture", schemas.MATCHES);
  const formSchema = schemas.formSchema(schemas.MATCH);
  const config = workOf("match", schemas.MATCH);
  app.post<OwnRoute<MatchFields, MatchForm>>("/match", { schema, config }, async (request) => {
    const { picture, json, form } = await readAsked(context, request, request, formSchema);
    const { text, ...formOptions } = form;
    const { texts = [], ...options } = { texts: text, ...formOptions, ...json };
    if (texts.length === 0) throw new Problem("INVALID_INPUT", "Give one or more texts.");
    checkQuestions(texts, context.limits, "text");
    const matches = await context.blip.match(picture, texts, { ...options, ...callOf(request) });
    return { matches: matches.map(({ score }, i) => ({ text: texts[i], score })) };
  });
}

function rankEndpoint(app: FastifyInstance, context: ServerContext): void {
  const schema = schemas.requestSchema(
    schemas.RANK,
    "Ranks given answers to questions about a picture",
    schemas.RANKINGS,
  );
  const formSchema = schemas.formSchema(schemas.RANK);
  const config = workOf("rank", schemas.RANK);
  app.post<OwnRoute<RankFields, RankForm>>("/rank", { schema, config }, async (request) => {
    const { picture, json, form } = await readAsked(context, request, request, formSchema);
    const { question, candidate, ...formOptions } = form;
    const all = { questions: question, candidates: candidate, ...formOptions, ...json };
    const { questions: given, candidates = [], ...options } = all;
    const questions = questionsOf(given, context);
    if (candidates.length === 0) throw new Problem("INVALID_INPUT", "Give one or more candidates.");
    checkCandidates(candidates, context);
    const rankings = [];
    for (const question of questions) {
      const ranked = await context.blip.rank(picture, question, candidates, { ...options, ...callOf(request) });
      rankings.push({
        question,
        candidates: ranked.map(({ answer, probability, logLikelihood }) => ({
          answer,
          probability,
          // JSON has no infinity: of candidates that were not scored.
          logLikelihood: Number.isFinite(logLikelihood) ? logLikelihood : null,
        })),
      });
    }
    return { rankings };
  });
}

/** The most candidates of a request. */
const MOST_CANDIDATES = 256;

function checkCandidates(candidates: readonly string[], { limits }: ServerContext): void {
  checkQuestions(candidates, { ...limits, maxQuestions: MOST_CANDIDATES }, "candidate");
}

function workOf(task: string, fields: Parameters<typeof schemas.otherBodies>[0]) {
  return { work: { api: "own", task }, otherBodies: schemas.otherBodies(fields) };
}

function errorEvent(problem: Problem): ServerSentEvent {
  return { event: "error", data: problem.toJSON() };
}
