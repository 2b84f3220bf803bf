import { throwIfAborted } from "../../../errors.js";
import {
  attentionMaskOf,
  batchesOf,
  type Dtype,
  paddedRows,
  rowsOf,
  stackRows,
  type Tensor,
} from "../../../torch/tensor.js";
import { itemAt } from "../../../util/item-at.js";
import type { CompiledShapes } from "../../compiled-shapes.js";
import type { EncoderRow } from "../../encoder-row.js";
import type { Question, QuestionEncoder } from "../../question-encoder.js";
import type { TextEncoderWrapper } from "../../text-encoder-wrapper.js";

/** Reads questions by the tutorial's text encoder, in its compiled batch sizes and length. */
export class CompiledQuestionEncoder implements QuestionEncoder {
  readonly #textEncoder: TextEncoderWrapper;
  readonly #shapes: Pick<CompiledShapes, "questionLength" | "padsQuestions" | "batchSizes">;
  readonly #padTokenId: number;

  constructor(
    textEncoder: TextEncoderWrapper,
    shapes: Pick<CompiledShapes, "questionLength" | "padsQuestions" | "batchSizes">,
    { padTokenId }: { padTokenId: number },
  ) {
    this.#textEncoder = textEncoder;
    this.#shapes = shapes;
    this.#padTokenId = padTokenId;
  }

  async encode(questions: readonly Question[], signal?: AbortSignal): Promise<EncoderRow[]> {
    const { questionLength, padsQuestions, batchSizes } = this.#shapes;
    const rows = questions.map((question) => {
      const { ids, length, attended, image } = question;
      const width = padsQuestions ? questionLength : attended;
      const inputIds = paddedRows([ids], width, this.#padTokenId);
      return { inputIds, attentionMask: attentionMaskOf([length], width), image, attended };
    });
    const encoded: EncoderRow[] = [];
    for (const { rows: slice, size } of batchesOf(rows, batchSizes)) {
      throwIfAborted(signal);
      const stack = <D extends Dtype>(input: (row: (typeof slice)[number]) => Tensor<D>) =>
        stackRows(slice.map(input), size);
      const embeds = await this.#textEncoder.forward(
        stack((row) => row.inputIds),
        stack((row) => row.attentionMask),
        stack((row) => row.image),
      );
      const rowsOfBatch = rowsOf(embeds);
      for (const [i, { attended }] of slice.entries()) {
        encoded.push({ hiddenStates: itemAt(rowsOfBatch, i), attended });
      }
    }
    return encoded;
  }
}
