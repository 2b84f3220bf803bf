import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { NeuronBlipError, type NeuronBlipErrorCode, Tensor, type TorchOutput } from "neuron-blip";

/** A file or folder of test/fixtures. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
}

/** Matches an error of this package with a code, and a message that says what it must. */
export function fails(code: NeuronBlipErrorCode, message: RegExp = /./) {
  return (error: unknown) => {
    assert(error instanceof NeuronBlipError, `not a NeuronBlipError: ${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

export function asTensor(output: TorchOutput | undefined): Tensor {
  assert(output instanceof Tensor, `not a tensor: ${output}`);
  return output;
}
