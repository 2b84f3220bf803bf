import { PassThrough } from "node:stream";
import type { GenerateOptions } from "../blip/neuron-blip-for-question-answering.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import { TextStreamer } from "../generation/text-streamer.js";
import type { Picture } from "../images/encoded-image.js";
import { either } from "../util/concurrency.js";
import { answer } from "./answer.js";
import { caption } from "./caption.js";
import type { TextOptions } from "./encode-text.js";
import type { LoadedModel } from "./loaded-model.js";

export type StreamOptions = Omit<GenerateOptions, "streamer"> & TextOptions;

/** Gives a text piece by piece as it is generated: see `NeuronBlip.stream`. */
export async function* stream(
  model: LoadedModel,
  image: Picture,
  text: string | undefined,
  given: StreamOptions,
): AsyncGenerator<string, void, void> {
  const options = readOptions(given, "stream");
  if ("streamer" in options && options.streamer !== undefined) {
    throw new NeuronBlipError("INVALID_INPUT", "stream gives the pieces itself: give a streamer to answer or caption.");
  }
  throwIfAborted(options.signal);
  const pieces = new PassThrough({ objectMode: true });
  const left = new AbortController();
  const { signal, stop } = either(options.signal, left);
  const streamer = new TextStreamer(model.processor, { callbackFunction: (piece) => pieces.write(piece) });
  const all = { ...options, signal, streamer };
  const generation =
    model.replica.config.architecture === "BlipForConditionalGeneration"
      ? caption(model, image, { ...all, ...(text !== undefined && { prompt: text }) })
      : answer(model, image, text as string, all);
  const ended = generation.then(
    () => pieces.end(),
    (error) => pieces.destroy(error),
  );
  try {
    yield* pieces;
  } finally {
    stop();
    left.abort();
    await ended;
  }
}
