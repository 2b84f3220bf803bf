import assert from "node:assert/strict";
import { Tensor, type TensorData, TorchModule } from "neuron-blip";
import { asTensor, fails, fixture } from "../helpers.js";

describe("Tensor", () => {
  it("is of zeros, of the shape and dtype asked for", () => {
    const tensor = Tensor.zeros("float32", [2, 3]);
    assert.deepEqual([tensor.dtype, tensor.shape, tensor.size], ["float32", [2, 3], 6]);
    assert.deepEqual(tensor.data, new Float32Array(6));
  });

  it("has one element for a scalar and none for an empty shape", () => {
    assert.deepEqual(Tensor.zeros("int64", []).data, BigInt64Array.of(0n));
    assert.equal(Tensor.zeros("float32", [0, 5]).data.length, 0);
    assert.equal(Tensor.from(new Float32Array(0), [3, 0]).size, 0);
  });

  it("copies an array of the user's: later changes to it do not show", () => {
    const array = Float32Array.of(1, 2, 3);
    const tensor = Tensor.from(array, [3]);
    array[0] = 100;
    assert.deepEqual([...tensor.data], [1, 2, 3]);
  });

  it("copies part of a buffer, a Buffer, and shared memory by their own offset and length", () => {
    const part = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    assert.deepEqual([...Tensor.from(part, [2]).data], [1, 2]);
    assert.deepEqual([...Tensor.from(Buffer.from("ab"), [2]).data], [97, 98]);
    const shared = new Uint8Array(new SharedArrayBuffer(4), 1, 2).fill(7);
    assert.deepEqual([...Tensor.from(shared, [2]).data], [7, 7]);
  });

  it("shares memory with a tensor over a view of another's data", () => {
    const whole = Tensor.zeros("int64", [2, 2]);
    const row = Tensor.view(whole.data.subarray(2), [1, 2]);
    row.data[0] = 5n;
    assert.deepEqual(whole.data, BigInt64Array.of(0n, 0n, 5n, 0n));
    const again = Tensor.from(whole.data.subarray(2), [2]);
    again.data[1] = 6n;
    assert.deepEqual(whole.data, BigInt64Array.of(0n, 0n, 5n, 6n));
  });

  it("shows what is written to `data` to the next forward, and a module's output in place", async () => {
    await using module = await TorchModule.load(fixture("modules/optionalinput.pt"));
    const x = Tensor.zeros("float32", [2]);
    x.data.set([3, 4]);
    const output = asTensor(await module.forward([x, Tensor.from(Float32Array.of(10), [1])]));
    assert.deepEqual([...output.data], [30, 40]);
    assert.equal(output.data, output.data, "the same array each time");
  });

  it("names the dtypes that an array alone does not say", () => {
    assert.equal(Tensor.from(new Uint16Array(2), [2], "float16").dtype, "float16");
    assert.equal(Tensor.from(new Uint16Array(2), [2], "bfloat16").dtype, "bfloat16");
    assert.equal(Tensor.from(new Uint8Array(2), [2], "bool").dtype, "bool");
    assert.throws(() => Tensor.from(new Uint16Array(2), [2]), fails("INVALID_INPUT", /name one/));
  });

  it("refuses a dtype, shape or length that does not fit", () => {
    assert.throws(() => Tensor.from(new Float32Array(3), [2, 2]), fails("INVALID_INPUT", /4 elements, the array 3/));
    assert.throws(() => Tensor.from(new Float32Array(4), [-2, -2]), fails("INVALID_INPUT", /whole numbers/));
    assert.throws(() => Tensor.from(new Float32Array(4), [1.5]), fails("INVALID_INPUT", /whole numbers/));
    assert.throws(() => Tensor.from(new Float32Array(4), 4 as unknown as number[]), fails("INVALID_INPUT"));
    const integers = new Int32Array(2) as unknown as Float32Array;
    assert.throws(() => Tensor.from(integers, [2], "float32"), fails("INVALID_INPUT", /takes a Float32Array/));
    assert.throws(() => Tensor.from([1, 2] as unknown as Float32Array, [2]), fails("INVALID_INPUT", /typed array/));
    assert.throws(() => Tensor.zeros("complex64" as "float32", [2]), fails("INVALID_INPUT", /Unknown dtype/));
    assert.throws(() => Tensor.zeros("float32", [2 ** 30, 2 ** 30]), fails("INVALID_INPUT", /memory/));
  });

  it("refuses detached and resizable buffers", () => {
    const detached = new Float32Array(0 + 2);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    assert.throws(() => Tensor.from(detached, [0]), fails("INVALID_INPUT", /detached/));
    const resizable = new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(8, {
      maxByteLength: 16,
    });
    assert.throws(() => Tensor.from(new Float32Array(resizable), [2]), fails("INVALID_INPUT", /resizable/));
    const Shared = SharedArrayBuffer as unknown as new (n: number, o: object) => SharedArrayBuffer;
    const growable = new Shared(8, { maxByteLength: 16 });
    assert.throws(() => Tensor.from(new Float32Array(growable), [2]), fails("INVALID_INPUT", /resizable/));
  });

  it("refuses to view memory that is not a tensor's", () => {
    assert.throws(() => Tensor.view(new Float32Array(2), [2]), fails("INVALID_INPUT", /memory of its own/));
  });

  it("keeps the memory of arrays taken before it is disposed, and refuses use afterwards", () => {
    const tensor = Tensor.from(Float32Array.of(1, 2), [2]);
    const { data } = tensor;
    const view = Tensor.view(data.subarray(1), [1]);
    tensor.dispose();
    tensor.dispose();
    assert.deepEqual([...data, ...view.data], [1, 2, 2]);
    assert.throws(() => tensor.data, fails("DISPOSED"));
    assert.deepEqual([...Tensor.view(data, [2]).data], [1, 2], "the memory is the array's as well");
  });

  it("says that memory ran out, and works afterwards", () => {
    assert.throws(() => Tensor.zeros("float32", [2 ** 39]), fails("OUT_OF_MEMORY", /memory/));
    assert.equal(Tensor.zeros("float32", [2]).size, 2);
  });

  it("survives its data being transferred away: the memory is the tensor's", async () => {
    await using module = await TorchModule.load(fixture("modules/optionalinput.pt"));
    const tensor = Tensor.from(Float32Array.of(1, 2), [2]);
    const { buffer } = tensor.data as TensorData<"float32"> & {
      buffer: ArrayBuffer & { transfer?: () => ArrayBuffer };
    };
    try {
      structuredClone(buffer, { transfer: [buffer] });
    } catch {
      buffer.transfer?.(); // Node forbids the one way, Node 22 and later allow the other
    }
    assert.deepEqual([...tensor.data], [1, 2]);
    assert.deepEqual([...asTensor(await module.forward([tensor])).data], [1, 2]);
  });
});
