import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Executor, Tensor, TorchModule } from "neuron-blip";
import { asTensor, fails, fixture, hasLibtorch } from "../helpers.js";

const ones = (...shape: number[]) => {
  const tensor = Tensor.zeros("float32", shape);
  tensor.data.fill(1);
  return tensor;
};

describe("TorchModule", () => {
  it("tells a module's signature", async () => {
    await using module = await TorchModule.load(pathToFileURL(fixture("modules/optionalinput.pt")));
    assert.deepEqual(module.signature.inputs, [
      { name: "x", type: "Tensor", optional: false },
      { name: "y", type: "Optional[Tensor]", optional: true },
    ]);
    assert.deepEqual(module.signature.outputs, ["Tensor"]);
  });

  it("returns dicts, tuples and lists, nested, as objects and arrays of tensors", async () => {
    await using module = await TorchModule.load(fixture("modules/outputs.pt"));
    const x = Tensor.from(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
    const output = (await module.forward([x])) as Record<string, [Tensor, Tensor, Tensor[]]>;
    assert.deepEqual(Object.keys(output), ["fresh", "shared"]);
    const [product, transposed, [added, cut]] = output.fresh as [Tensor, Tensor, [Tensor, Tensor]];
    assert.deepEqual(
      [product.shape, [...product.data]],
      [
        [2, 3],
        [1, 2, 3, 4, 5, 6],
      ],
    );
    assert.deepEqual(
      [transposed.shape, [...transposed.data]],
      [
        [3, 2],
        [1, 4, 2, 5, 3, 6],
      ],
    );
    assert.deepEqual([...added.data], [2, 3, 4, 5, 6, 7]);
    assert.deepEqual(
      [cut.shape, [...cut.data]],
      [
        [2, 2],
        [2, 3, 5, 6],
      ],
    );
  });

  it("never lets outputs share memory with inputs, weights or each other", async () => {
    await using module = await TorchModule.load(fixture("modules/outputs.pt"));
    const x = ones(2, 3);
    const before = (await module.forward([x])) as Record<string, [Tensor, Tensor, [Tensor, Tensor]]>;
    const [sameInput, weight, [first, second]] = before.shared as [Tensor, Tensor, [Tensor, Tensor]];
    for (const tensor of [sameInput, weight, first]) tensor.data.fill(50 as never);
    assert.deepEqual([...second.data], [1, 1, 1, 1, 1, 1]);
    assert.deepEqual([...x.data], [1, 1, 1, 1, 1, 1]);
    const after = (await module.forward([x])) as Record<string, [Tensor, Tensor, Tensor[]]>;
    assert.deepEqual([...(after.shared as [Tensor, Tensor, Tensor[]])[1].data], [1, 0, 0, 0, 1, 0, 0, 0, 1]);
  });

  it("lets no output share memory with an input that is disposed while it runs", async () => {
    await using module = await TorchModule.load(fixture("modules/optionalinput.pt"));
    const owner = Tensor.zeros("float32", [4]);
    const view = Tensor.view(owner.data.subarray(2), [2]);
    const running = module.forward([view]);
    view.dispose();
    asTensor(await running).data.fill(9 as never);
    assert.deepEqual([...owner.data], [0, 0, 0, 0]);
  });

  it("returns numbers, booleans, strings and None", async () => {
    await using module = await TorchModule.load(fixture("modules/scalars.pt"));
    assert.deepEqual(await module.forward([ones(2, 2)]), [4, 4, true, "text", null]);
  });

  it("returns every dtype by its array type", async () => {
    await using module = await TorchModule.load(fixture("modules/dtypes.pt"));
    const output = (await module.forward([ones(2)])) as Record<string, Tensor>;
    const shown = Object.fromEntries(
      Object.entries(output).map(([name, { dtype, data }]) => [name, [dtype, data.constructor.name, Number(data[1])]]),
    );
    assert.deepEqual(shown, {
      float32: ["float32", "Float32Array", 1],
      float64: ["float64", "Float64Array", 1],
      float16: ["float16", "Uint16Array", 0x3c00],
      bfloat16: ["bfloat16", "Uint16Array", 0x3f80],
      int64: ["int64", "BigInt64Array", 1],
      int32: ["int32", "Int32Array", 1],
      int16: ["int16", "Int16Array", 1],
      int8: ["int8", "Int8Array", 1],
      uint8: ["uint8", "Uint8Array", 1],
      bool: ["bool", "Uint8Array", 1],
    });
  });

  it("refuses inputs that do not fit the signature, and works afterwards", async () => {
    await using module = await TorchModule.load(fixture("modules/optionalinput.pt"));
    await assert.rejects(module.forward([]), fails("INVALID_INPUT", /takes 2 inputs \(x, y\), not 0/));
    await assert.rejects(module.forward([ones(1), ones(1), ones(1)]), fails("INVALID_INPUT", /not 3/));
    await assert.rejects(module.forward([{}]), fails("INVALID_INPUT", /type 'Tensor' for argument 'x'.*an object/));
    await assert.rejects(module.forward(ones(1) as never), fails("INVALID_INPUT", /takes an array of its inputs/));
    const disposed = ones(1);
    disposed.dispose();
    await assert.rejects(module.forward([disposed]), fails("DISPOSED"));
    assert.deepEqual([...asTensor(await module.forward([ones(2)])).data], [1, 1]);
  });

  it("says libtorch's reason where a module fails, and works afterwards", async () => {
    await using module = await TorchModule.load(fixture("modules/outputs.pt"));
    await assert.rejects(module.forward([ones(2, 2)]), fails("EXECUTION_FAILED", /outputs\.pt" failed: .*2x2 and 3x3/));
    await assert.rejects(module.forward([Tensor.zeros("int64", [2, 3])]), fails("EXECUTION_FAILED", /dtype|Long/));
    await module.forward([ones(2, 3)]);
    await using raising = await TorchModule.load(fixture("modules/raises.pt"));
    await assert.rejects(raising.forward([ones(1)]), fails("EXECUTION_FAILED", /a reason of the module's own/));
  });

  it("refuses outputs that JavaScript has no array for", async () => {
    await using module = await TorchModule.load(fixture("modules/complex.pt"));
    await assert.rejects(module.forward([ones(1)]), fails("EXECUTION_FAILED", /ComplexFloat/));
  });

  it("runs calls in order while the event loop goes on", async () => {
    await using module = await TorchModule.load(fixture("modules/slow.pt"));
    const steps = Tensor.from(BigInt64Array.of(20n), []);
    const order: number[] = [];
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 0);
    await Promise.all([1, 2, 3].map((i) => module.forward([steps]).then(() => order.push(i))));
    clearInterval(ticking);
    assert.deepEqual(order, [1, 2, 3]);
    assert(ticks > 0, "the event loop stood still");
  });

  it("finishes the calls under way before it is disposed, and refuses those after", async () => {
    const module = await TorchModule.load(fixture("modules/slow.pt"));
    const steps = Tensor.from(BigInt64Array.of(20n), []);
    const running = [module.forward([steps]), module.forward([steps])];
    const disposed = module.dispose();
    await assert.rejects(module.forward([steps]), fails("DISPOSED"));
    await disposed;
    await module.dispose();
    for (const call of running) asTensor(await call);
  });

  // macOS counts pages otherwise; with older libtorch, memory is left to malloc.
  const keepsMemory = process.platform === "linux" && hasLibtorch(2, 6);
  const condition = keepsMemory ? "" : " (only on Linux, with libtorch 2.6 or later)";
  (keepsMemory ? it : it.skip)(
    `uses the memory of a call for the next, and gives it back when disposed${condition}`,
    async () => {
      const module = await TorchModule.load(fixture("modules/temporaries.pt"));
      const call = () => module.forward([Tensor.from(BigInt64Array.of(40n), [])]);
      for (let i = 0; i < 3; i++) await call();
      const before = process.resourceUsage().minorPageFault;
      for (let i = 0; i < 5; i++) await call();
      const pages = (process.resourceUsage().minorPageFault - before) / 5;
      assert(pages < 5000, `${pages} pages came from the system in a call whose tensors have 40,960`);
      const kept = process.memoryUsage.rss();
      await module.dispose();
      const given = kept - process.memoryUsage.rss();
      // AddressSanitizer keeps what is freed for itself, to see it used.
      if (process.env.ASAN_OPTIONS !== undefined) return;
      assert(given > 60 * 2 ** 20, `${given} bytes were given back`);
    },
  );

  it("refuses work on an executor that is closed", async () => {
    const executor = new Executor({ threads: 1 });
    const module = await TorchModule.load(fixture("modules/optionalinput.pt"), { executor });
    await executor.close();
    await executor.close();
    await assert.rejects(module.forward([ones(1)]), fails("DISPOSED"));
    await assert.rejects(TorchModule.load(fixture("modules/outputs.pt"), { executor }), fails("DISPOSED"));
    await module.dispose();
    assert.throws(() => new Executor({ threads: -1 }), fails("INVALID_INPUT", /threads/));
  });

  describe("loading a file that is no module", () => {
    let directory: string;
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "neuron-blip-"));
    });
    after(() => rm(directory, { recursive: true }));

    it("says that it is missing, or a directory", async () => {
      await assert.rejects(TorchModule.load(join(directory, "none.pt")), fails("ARTIFACT_NOT_FOUND", /none\.pt/));
      await assert.rejects(TorchModule.load(directory), fails("ARTIFACT_NOT_FOUND", /not a file/));
    });

    it("says that it is damaged, however it is, and loads the next", async () => {
      const whole = await readFile(fixture("modules/outputs.pt"));
      const flipped = Buffer.from(whole).fill(0x55, 1200, 1400);
      const damaged = [Buffer.alloc(0), whole.subarray(0, 100), whole.subarray(0, -30), flipped, Buffer.from("text")];
      for (const [i, bytes] of damaged.entries()) {
        const path = join(directory, `damaged${i}.pt`);
        await writeFile(path, bytes);
        await assert.rejects(TorchModule.load(path), fails("ARTIFACT_CORRUPT", /damaged\d\.pt.*Write it again/));
      }
      await (await TorchModule.load(fixture("modules/outputs.pt"))).dispose();
    });
  });
});
