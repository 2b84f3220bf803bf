/** What SageMaker asks of a container: /invocations, with a picture or with Hugging Face's JSON, and /ping. */
import type { FastifyInstance } from "fastify";
import type { ServerContext } from "../context.js";
import { tell } from "../health/endpoints.js";
import { toAnswerOptions, toCaptionOptions } from "./hugging-face-options.js";
import * as schemas from "./sagemaker-schemas.js";
import { type Writer, type Written, writerOf } from "./writers.js";

interface InvocationsRoute {
  Body: Invocation | Buffer | undefined;
}

/** Hugging Face's, of visual-question-answering and of image-to-text. */
interface Invocation {
  readonly inputs: string | { readonly image: string; readonly question?: string };
  readonly parameters?: Readonly<Record<string, unknown>>;
}

export async function sageMakerEndpoints(app: FastifyInstance, { context }: { context: ServerContext }): Promise<void> {
  const { state } = context;
  app.get("/ping", { schema: schemas.PING, config: { open: true } }, async (_, reply) => tell(reply, state.whyUnready));
  const writer = writerOf(context);
  if (writer !== undefined) invocationsEndpoint(app, context, writer);
}

function invocationsEndpoint(app: FastifyInstance, { pictures }: ServerContext, writer: Writer): void {
  const config = { work: { api: "sagemaker", task: writer.task }, otherBodies: schemas.PICTURE_BODY };
  const asks = writer.task === "answer";
  const schema = asks ? schemas.ANSWERS : schemas.CAPTIONS;
  app.post<InvocationsRoute>("/invocations", { schema, config }, async (request) => {
    const { body } = request;
    const isPicture = body === undefined || body === null || Buffer.isBuffer(body);
    const { image, question } = isPicture ? { image: undefined, question: undefined } : askedOf(body);
    const asked = writer.aboutWhat(question);
    const picture = image === undefined ? pictures.fromBody(request) : await pictures.fromJson(image, request);
    const parameters = isPicture ? {} : (body.parameters ?? {});
    const options = asks ? toAnswerOptions(parameters) : toCaptionOptions(parameters);
    const all = asked.map(() => picture);
    const written = await writer.write(request, all, asked, options);
    if (!asks) return written.flatMap(everyOne).map(({ text }) => ({ generated_text: text }));
    return written.flatMap((best, i) =>
      everyOne(best).map(({ text: answer, score }) => ({
        ...(question === undefined && { question: asked[i] }), // one of the standing questions
        answer,
        score,
      })),
    );
  });
}

function askedOf({ inputs }: Invocation) {
  return typeof inputs === "string" ? { image: inputs, question: undefined } : inputs;
}

function everyOne(best: Written): readonly Written[] {
  return [best, ...best.others];
}
