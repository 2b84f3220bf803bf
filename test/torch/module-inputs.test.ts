import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import { Tensor, type TorchInput, TorchModule } from "neuron-blip";
import { fails, fixture } from "../helpers.js";

describe("a module's inputs", () => {
  let module: TorchModule;
  before(async () => {
    module = await TorchModule.load(fixture("modules/typed.pt"));
  });
  after(() => module.dispose());

  const tensor = Tensor.from(Float32Array.of(1, 2), [2]);
  /** What fits each of `forward`'s arguments. */
  const fitting = {
    i: 1,
    f: 2,
    b: true,
    s: "text",
    o: null,
    fs: [1, 2.5],
    rows: [[1, 2], []],
    named: { a: tensor },
    numbered: { 7: true },
    pair: [3, "three"],
    either: "a string",
    device: "cpu",
  } satisfies Record<string, TorchInput>;
  const call = (changed: Record<string, unknown> = {}) =>
    module.forward(Object.values({ ...fitting, ...changed }) as TorchInput[]);

  it("are numbers, booleans, strings, None, lists, dicts and tuples, by the declared types", async () => {
    const [i, f, b, s, o, fs, rows, named, keys, pair, either, device] = (await call()) as unknown[];
    assert.deepEqual([i, f, b, s, o, fs, rows], [1, 2, true, "text", null, [1, 2.5], [[1, 2], []]]);
    assert.deepEqual([...((named as { a: Tensor }).a.data as Float32Array)], [1, 2]);
    assert.deepEqual([keys, pair, either, device], [[7], [3, "three"], "a string", "cpu"]);
  });

  it("are int or float as declared, in a union int where they are whole", async () => {
    const at = async (name: keyof typeof fitting, value: unknown) =>
      ((await call({ [name]: value })) as unknown[])[Object.keys(fitting).indexOf(name)];
    assert.equal(await at("i", 5n), 5);
    assert.equal(await at("f", 5n), 5);
    assert.equal(await at("o", 5), 5);
    assert.equal(await at("o", undefined), null);
    assert.equal(await at("either", 5), 5);
    assert.deepEqual(await at("either", [1, 2]), [1, 2]);
    assert.deepEqual(await at("numbered", new Map([[-9, false]])), [-9]);
    assert.deepEqual(await at("fs", runInNewContext("[1, 2]")), [1, 2]);
  });

  it("of type Any are what they look like: whole numbers and bigints int, others float", async () => {
    for (const [value, kind] of [
      [tensor, "Tensor"],
      [true, "bool"],
      [3, "int"],
      [3n, "int"],
      [-0, "int"],
      [3.5, "float"],
      [Number.POSITIVE_INFINITY, "float"],
      ["3", "str"],
      [[1, 2n], "List[int]"],
      [[0.5, 1.5], "List[float]"],
      [[tensor, tensor], "List[Tensor]"],
      [{ a: 1 }, "Dict[str, int]"],
      [Object.create(null), "other"],
      [[1, "mixed"], "other"],
    ] satisfies [TorchInput, string][]) {
      assert.equal(await module.call("kind", [value]), kind, String(kind));
    }
    assert.deepEqual(await Promise.all([4, 4n, 4.5].map((value) => module.call("number", [value]))), [
      "int",
      "int",
      "float",
    ]);
  });

  it("keep all bits of 64-bit ints, in and out", async () => {
    const largest = 2n ** 63n - 1n;
    assert.equal(await module.call("shifted", [largest, 0]), largest);
    assert.equal(await module.call("shifted", [-(2n ** 63n), 0]), -(2n ** 63n));
    assert.equal(await module.call("shifted", [Number.MAX_SAFE_INTEGER, 0]), Number.MAX_SAFE_INTEGER);
    assert.equal(await module.call("shifted", [Number.MAX_SAFE_INTEGER, 1]), 2n ** 53n);
    for (const [value, message] of [
      [2n ** 63n, /does not fit 64 bits/],
      [2 ** 53, /as a bigint/],
      [1.5, /whole numbers/],
      [Number.NaN, /whole numbers/],
    ] as const) {
      await assert.rejects(module.call("shifted", [value, 0]), fails("INVALID_INPUT", message));
    }
  });

  it("are the declared defaults where they are left out or undefined", async () => {
    assert.equal(await module.call("shifted", [1]), 4);
    assert.equal(await module.call("shifted", [1, undefined]), 4);
    await assert.rejects(
      module.call("shifted", [undefined, 1]),
      fails("INVALID_INPUT", /type 'int' for argument 'x' but instead was given nothing/),
    );
  });

  it("that do not fit are refused by name, declared type and what was given, and the next call works", async () => {
    for (const [changed, message] of [
      [
        { i: tensor },
        /forward\(\) Expected a value of type 'int' for argument 'i' but instead was given a tensor of float32 \[2\]/,
      ],
      [{ f: "1" }, /type 'float' for argument 'f'.*the string "1"/],
      [{ b: 1 }, /type 'bool' for argument 'b'.*the number 1/],
      [{ s: 1n }, /type 'str' for argument 's'.*the bigint 1/],
      [{ o: "x" }, /type 'int' for argument 'o'.*the string "x"/],
      [{ fs: tensor }, /type 'List\[float\]' for argument 'fs'.*tensor/],
      [{ rows: [[1], [2, "x"]] }, /type 'int' at \[1\]\[1\] for argument 'rows'.*"x"/],
      [{ named: { a: 1 } }, /type 'Tensor' at \["a"\] for argument 'named'.*the number 1.*Tensor\.from/],
      [{ numbered: { x: true } }, /type 'int'.*argument 'numbered'.*"x"/],
      [{ pair: [1] }, /type 'Tuple\[int, str\]' for argument 'pair'.*an array of 1/],
      [{ either: 2.5 }, /type 'Union\[.*argument 'either'.*2\.5/],
      [{ either: null }, /argument 'either'.*null/],
      [{ device: "nowhere" }, /type 'Device' for argument 'device'.*"nowhere"/],
    ] as const) {
      await assert.rejects(call(changed), fails("INVALID_INPUT", message));
    }
    await call();
  });

  it("without end, too many, of foreign classes or that throw are refused in a line, and the next call works", async () => {
    const circle: unknown[] = [];
    circle.push({ circle });
    let deep: unknown[] = [];
    for (let i = 0; i < 100_000; i++) deep = [deep];
    let doubled: unknown[] = [1];
    for (let i = 0; i < 60; i++) doubled = [doubled, doubled];
    const thrower = {
      get a() {
        throw new Error("the getter's own ".repeat(1000));
      },
    };
    for (const [value, message] of [
      [circle, /nested more than 64 deep, or holds itself/],
      [deep, /nested more than 64 deep/],
      [doubled, /more than 100000 values/],
      [new Array(2 ** 32 - 1), /more than 100000 values/],
      [[undefined], /x\[0\] of kind is undefined/],
      [() => {}, /is a function/],
      [{ a: Symbol("s") }, /x\["a"\] of kind is a symbol/],
      [new Date(), /of a class \(Date\)/],
      [Float32Array.of(1), /Tensor\.from/],
      [new ArrayBuffer(8), /Tensor\.from/],
      [new Map([[tensor, 1]]), /a key of type object/],
      [thrower, /x of kind cannot be read: the getter's own/],
    ] as const) {
      await assert.rejects(module.call("kind", [value as TorchInput]), (error: Error) => {
        assert(error.message.length <= 1000, `${error.message.length}`);
        return fails("INVALID_INPUT", message)(error);
      });
    }
    await assert.rejects(call({ i: "x".repeat(10_000_000) }), (error: Error) => error.message.length <= 1000);
    assert.equal(await module.call("kind", ["x".repeat(10_000_000)]), "str");
  });
});
