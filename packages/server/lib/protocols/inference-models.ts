/** What a model's tensors are in the Open Inference Protocol. */
import type { FastifyRequest } from "fastify";
import type { ServerContext } from "../context.js";
import { Problem } from "../problem.js";
import { callOf } from "../tasks.js";
import type { OutputTensor } from "./inference-tensors.js";
import { checkQuestions } from "./questions.js";
import { type Writer, writerOf } from "./writers.js";

export interface InferenceModel {
  readonly task: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Runs the model. @param given the inputs' elements. @throws Problem `INVALID_INPUT`, and as the model. */
  infer(request: FastifyRequest, given: ReadonlyMap<string, readonly (string | Buffer)[]>): Promise<OutputTensor[]>;
}

interface Tensor {
  readonly name: string;
  readonly datatype: "BYTES" | "FP32";
  readonly shape: readonly [-1];
  /** Whether a request may come without it. */
  readonly optional?: boolean;
}

const PICTURE = bytesTensor("image");
const SCORE: Tensor = { name: "score", datatype: "FP32", shape: [-1] };

function bytesTensor(name: string, optional = false): Tensor {
  return { name, datatype: "BYTES", shape: [-1], ...(optional && { optional }) };
}

export function inferenceModelOf(context: ServerContext): InferenceModel {
  const writer = writerOf(context);
  return writer === undefined ? matching(context) : writing(context, writer);
}

function writing(context: ServerContext, writer: Writer): InferenceModel {
  const asks = writer.task === "answer";
  const text = asks ? bytesTensor("question") : bytesTensor("prompt", true);
  const output = bytesTensor(asks ? "answer" : "caption");
  return {
    task: writer.task,
    inputs: [PICTURE, text],
    outputs: [output, SCORE],
    async infer(request, given) {
      const { pictures, texts } = await rowsOf(context, request, given, text);
      const written = await writer.write(request, pictures, texts, {});
      return [
        { name: output.name, datatype: "BYTES", values: written.map(({ text }) => text) },
        { name: SCORE.name, datatype: "FP32", values: written.map(({ score }) => score) },
      ];
    },
  };
}

function matching(context: ServerContext): InferenceModel {
  const text = bytesTensor("text");
  return {
    task: "match",
    inputs: [PICTURE, text],
    outputs: [SCORE],
    async infer(request, given) {
      const { pictures, texts } = await rowsOf(context, request, given, text);
      const matches = await context.blip.match(pictures, texts, callOf(request));
      return [{ name: SCORE.name, datatype: "FP32", values: matches.map(({ score }) => score) }];
    },
  };
}

/** Returns the pictures' bytes, and a text for each. */
async function rowsOf(
  context: ServerContext,
  request: FastifyRequest,
  given: ReadonlyMap<string, readonly (string | Buffer)[]>,
  { name, optional }: Tensor,
) {
  for (const other of given.keys()) {
    if (other !== PICTURE.name && other !== name) throw invalid(`There is no input "${other.slice(0, 50)}".`);
  }
  const images = given.get(PICTURE.name) ?? [];
  if (images.length === 0) throw invalid('The input "image" is missing, or has no elements.');
  const texts = given.get(name)?.map(String) ?? (optional ? images.map(() => "") : undefined);
  if (texts === undefined) throw invalid(`The input "${name}" is missing.`);
  if (texts.length !== images.length) {
    throw invalid(`There are ${images.length} of "image" and ${texts.length} of "${name}": give one for each.`);
  }
  checkQuestions(texts, context.limits, name);
  const { pictures: reader } = context;
  const pictures = images.map((image) => (Buffer.isBuffer(image) ? image : reader.fromJson(image, request)));
  return { pictures: await Promise.all(pictures), texts };
}

function invalid(detail: string): Problem {
  return new Problem("INVALID_INPUT", detail);
}
