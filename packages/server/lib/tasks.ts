import { performance } from "node:perf_hooks";
import type { FastifyRequest } from "fastify";
import { type Answer, type AnswerOptions, type Caption, type CaptionOptions, TextStreamer } from "neuron-blip";
import type { ServerContext } from "./context.js";

/** Returns what every call of the model is given: the end of its request, and its name. */
export function callOf(request: FastifyRequest): { signal: AbortSignal; callId: string } {
  return { signal: request.abortSignal, callId: request.id };
}

/** A piece of a text that is being generated, or the whole at its end. */
export type Generated<T> = { readonly piece: string } | { readonly result: T };

/** Answers a question piece by piece. */
export function streamAnswer(
  context: ServerContext,
  request: FastifyRequest,
  picture: Uint8Array,
  question: string,
  options: AnswerOptions,
): AsyncGenerator<Generated<Answer>, void, void> {
  return pieces(context, request, (call) => context.blip.answer(picture, question, { ...options, ...call }));
}

/** Describes a picture piece by piece. */
export function streamCaption(
  context: ServerContext,
  request: FastifyRequest,
  picture: Uint8Array,
  options: CaptionOptions,
): AsyncGenerator<Generated<Caption>, void, void> {
  return pieces(context, request, (call) => context.blip.caption(picture, { ...options, ...call }));
}

async function* pieces<T>(
  { blip, metrics }: ServerContext,
  request: FastifyRequest,
  generate: (call: { signal: AbortSignal; callId: string; streamer: TextStreamer }) => Promise<T>,
): AsyncGenerator<Generated<T>, void, void> {
  const began = performance.now();
  const ready: string[] = [];
  let wake = () => {};
  const left = new AbortController();
  const signal = AbortSignal.any([request.abortSignal, left.signal]);
  const callbackFunction = (piece: string) => {
    ready.push(piece);
    wake();
  };
  const streamer = new TextStreamer(blip.processor, { callbackFunction });
  let ended = false;
  const work = generate({ signal, callId: request.id, streamer }).finally(() => {
    ended = true;
    wake();
  });
  work.catch(() => {}); // it is awaited below, or nobody is there any more
  let isFirst = true;
  try {
    for (;;) {
      for (let piece = ready.shift(); piece !== undefined; piece = ready.shift()) {
        if (piece === "") continue;
        if (isFirst) metrics.timeToFirstToken.observe((performance.now() - began) / 1000);
        isFirst = false;
        yield { piece };
      }
      if (ended) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (ended || ready.length > 0) resolve();
      });
    }
    yield { result: await work };
  } finally {
    left.abort();
  }
}
