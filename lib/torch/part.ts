import type { Tensor } from "./tensor.js";
import type { TorchInput, TorchOutput } from "./torch-module.js";

/** A part of a model: a compiled one, or a function over a checkpoint's weights. */
export interface Part {
  /** Its file, or the checkpoint's directory, for messages. */
  readonly path: string;
  /** How many rows one call takes, increasing. */
  readonly batchSizes: readonly number[];
  /** Runs the part. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`. */
  forward(inputs: readonly Tensor[]): Promise<TorchOutput>;
}

/** What has several functions, called by name: a TorchScript module, or a checkpoint. */
export interface Functions {
  /** For messages. */
  readonly path: string;
  /** Calls a function. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`. */
  call(name: string, inputs: readonly TorchInput[]): Promise<TorchOutput>;
}
