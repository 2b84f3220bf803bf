import { NeuronBlipError } from "../errors.js";
import { shorten } from "../util/values.js";
import type { Executor } from "./executor.js";
import { type Dtype, fromNative, native } from "./native.js";
import { TorchValue } from "./torch-values.js";

/** Where a tensor lies in a file: packed, in the order of its dimensions, little-endian. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Of its first byte in the file. It need not be a multiple of anything. */
  readonly offset: number;
}

const LONGEST_PATH = 200;

/**
 * Makes tensors over a file's bytes, of TorchScript's type `Dict[str, Tensor]`.
 *
 * The file is mapped: nothing is read until it is used, processes share its pages, and a tensor's pages are let go with the last
 * reference to it. It must then keep its length for as long as the value lives: a page that is missing ends the process. (A new file
 * by the same name is no harm.) So only a file is mapped that belongs to root or to this user, and that nobody else may write to;
 * any other is read into memory, as are tensors whose offset is no multiple of their element's size.
 * What a function writes to such a tensor never reaches the file.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` for what is no file or cannot be read, and for tensors beyond its
 * end; `INVALID_INPUT` for entries that are impossible; `OUT_OF_MEMORY`.
 */
export async function openTensors(
  path: string,
  entries: readonly TensorEntry[],
  options: { executor: Executor },
): Promise<TorchValue> {
  const { executor } = options;
  try {
    return new TorchValue(await native().openTensors(executor.handle, path, entries), executor);
  } catch (error) {
    throw fileError(path, fromNative(error));
  }
}

function fileError(path: string, error: NeuronBlipError): NeuronBlipError {
  const { code, message } = error;
  const file = `"${shorten(path, LONGEST_PATH)}"`;
  if (code === "ARTIFACT_NOT_FOUND") {
    return new NeuronBlipError(code, `There is no file ${file}.`, { cause: error.cause });
  }
  if (code !== "ARTIFACT_CORRUPT") return error;
  return new NeuronBlipError(code, `${file} cannot be read: ${message}. Download or copy it again.`, {
    cause: error.cause,
  });
}
