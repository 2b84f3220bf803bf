/** Tensors of the Open Inference Protocol, as JSON and in its binary extension. */
import { Problem } from "../problem.js";

/** A tensor of a request, as its JSON says; its elements may be in the binary part. */
export interface InputTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: "BYTES";
  readonly parameters?: { readonly binary_data_size?: number };
  readonly data?: readonly unknown[];
}

/** A tensor of a reply. */
export type OutputTensor = { readonly name: string } & (
  | { readonly datatype: "BYTES"; readonly values: readonly string[] }
  | { readonly datatype: "FP32"; readonly values: readonly number[] }
);

/**
 * Reads the inputs' elements by their names: texts as JSON had them, or bytes.
 * @param binary what follows the request's JSON.
 * @throws Problem `INVALID_INPUT`
 */
export function readInputs(inputs: readonly InputTensor[], binary: Buffer): Map<string, (string | Buffer)[]> {
  const byName = new Map<string, (string | Buffer)[]>();
  let at = 0;
  for (const { name, shape, parameters: { binary_data_size: size } = {}, data } of inputs) {
    const shown = name.slice(0, 50);
    if (byName.has(name)) throw invalid(`The input "${shown}" was given twice.`);
    if (size !== undefined && at + size > binary.length) throw invalid(`The body ends within the input "${shown}".`);
    const elements = size === undefined ? textsOf(shown, data) : elementsOf(shown, binary.subarray(at, at + size));
    at += size ?? 0;
    const count = shape.reduce((product, length) => product * length, 1);
    if (elements.length !== count) {
      throw invalid(`The input "${shown}" has ${elements.length} elements; its shape says ${count}.`);
    }
    byName.set(name, elements);
  }
  if (at < binary.length) throw invalid(`${binary.length - at} bytes follow the last input.`);
  return byName;
}

function textsOf(name: string, data: readonly unknown[] | undefined): string[] {
  if (data === undefined) throw invalid(`The input "${name}" has neither data nor binary_data_size.`);
  return data.flat(8).map((element) => {
    if (typeof element === "string") return element;
    throw invalid(`The elements of the input "${name}" are not all strings.`);
  });
}

/** Splits a tensor's bytes into elements, each with its length before it, in 4 bytes. */
function elementsOf(name: string, bytes: Buffer): Buffer[] {
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 <= bytes.length ? at + 4 + bytes.readUInt32LE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw invalid(`The elements of the input "${name}" do not fit its binary_data_size.`);
    elements.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return elements;
}

/** Writes an output as JSON has it, and its bytes where those follow the JSON. */
export function writeOutput({ name, datatype, values }: OutputTensor, asBinary: boolean) {
  const head = { name, datatype, shape: [values.length] };
  if (!asBinary) return { json: { ...head, data: values }, bytes: Buffer.alloc(0) };
  const bytes = Buffer.concat(values.map((value) => (typeof value === "string" ? bytesOf(value) : fp32Of(value))));
  return { json: { ...head, parameters: { binary_data_size: bytes.length } }, bytes };
}

function bytesOf(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

function fp32Of(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function invalid(detail: string): Problem {
  return new Problem("INVALID_INPUT", detail);
}
