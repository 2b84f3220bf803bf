import assert from "node:assert/strict";
import { Executor, NeuronBlipError, Tensor } from "neuron-blip";
import { type FunctionInput, TorchFunctions } from "../../dist/torch/torch-functions.js";
import { asTensor, fails, hasLibtorch } from "../helpers.js";

const SOURCE = `
def scale(x: Tensor, factor: float = 2.0) -> Tensor:
    return x * factor

def weights(size: int) -> Dict[str, Tensor]:
    w: Dict[str, Tensor] = {}
    for i in range(size):
        w["layers.{}.weight".format(i)] = torch.full([4, 4], i, dtype=float32)
    return w

def apply(x: Tensor, w: Dict[str, Tensor]) -> Tensor:
    for i in range(len(w)):
        x = x + torch.matmul(x, w["layers.{}.weight".format(i)])
    return x

def applied(x: Tensor, all: List[Dict[str, Tensor]]) -> List[Tensor]:
    return [apply(x, w) for w in all]

def same(w: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return w

def number(w: Dict[str, Tensor]) -> int:
    return len(w)

def dtypes(x: Tensor) -> List[Tensor]:
    return [x.to(bfloat16), x.to(torch.float16), x.to(int64), x.to(torch.bool)]

def slow(times: int) -> float:
    x = torch.ones([64, 64])
    for i in range(times):
        x = torch.matmul(x, x).clamp(0.0, 1.0)
    return float(x.sum())

def raises(x: Tensor) -> Tensor:
    return torch.matmul(x, torch.ones([7, 7]))
`;

const x = Tensor.from(Float32Array.of(1, 2, 3, 4), [1, 4]);

describe("functions from a source text", () => {
  let executor: Executor;
  let functions: TorchFunctions;
  const call = (name: string, inputs: FunctionInput[]) => functions.call(name, inputs);
  const compiled = (source: string) => TorchFunctions.compile(source, { executor, name: "model.torchscript" });

  before(async () => {
    executor = new Executor({ threads: 1 });
    functions = await compiled(SOURCE);
  });
  after(async () => {
    await functions.dispose();
    await executor.close();
  });

  it("tell what they take and return, and are called by their names", async () => {
    assert.deepEqual(functions.functions.scale, {
      inputs: [
        { name: "x", type: "Tensor", optional: false },
        { name: "factor", type: "float", optional: true },
      ],
      outputs: ["Tensor"],
    });
    assert.deepEqual([...asTensor(await call("scale", [x])).data], [2, 4, 6, 8]);
    assert.deepEqual([...asTensor(await call("scale", [x, 0.5])).data], [0.5, 1, 1.5, 2]);
    assert.deepEqual(
      (await functions.call<Tensor[]>("dtypes", [x])).map(({ dtype }) => dtype),
      ["bfloat16", "float16", "int64", "bool"],
    );
  });

  it("take values that were kept, by themselves and within lists", async () => {
    await using two = await functions.keep("weights", [2]);
    await using none = await functions.keep("weights", [0]);
    assert.deepEqual([...asTensor(await call("apply", [x, two])).data], [11, 12, 13, 14]);
    const both = await functions.call<Tensor[]>("applied", [x, [two, none]]);
    assert.deepEqual(
      both.map(({ data }) => [...data]),
      [
        [11, 12, 13, 14],
        [1, 2, 3, 4],
      ],
    );
  });

  it("run on several executors at once, with one compiled text and one set of values", async () => {
    const executors = [new Executor({ threads: 1 }), new Executor({ threads: 1 }), executor];
    await using unused = await compiled(SOURCE); // its first calls come at once, too
    await using weights = await functions.keep("weights", [3]);
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        unused.call<Tensor>("apply", [x, weights], { executor: executors[i % 3] as Executor }),
      ),
    );
    for (const result of results) assert.deepEqual([...result.data], [111, 112, 113, 114]);
    await Promise.all(executors.slice(0, 2).map((other) => other.close()));
  });

  it("return nothing that shares memory with what is kept", async () => {
    await using weights = await functions.keep("weights", [2]);
    const given = (await call("same", [weights])) as Record<string, Tensor>;
    for (const tensor of Object.values(given)) tensor.data.fill(50 as never);
    assert.deepEqual([...asTensor(await call("apply", [x, weights])).data], [11, 12, 13, 14]);
  });

  it("refuse inputs that do not fit, and work afterwards", async () => {
    await using weights = await functions.keep("weights", [1]);
    await assert.rejects(call("scale", []), fails("INVALID_INPUT", /"model.torchscript" takes 2 inputs \(x, factor\)/));
    await assert.rejects(call("none", [x]), fails("INVALID_INPUT", /no method "none".*scale, weights/));
    await assert.rejects(
      call("scale", [weights]),
      fails("INVALID_INPUT", /type 'Tensor' for argument 'x'.*a value of type 'Dict\[str, Tensor\]'/),
    );
    await assert.rejects(
      call("apply", [x, x]),
      fails("INVALID_INPUT", /type 'Dict\[str, Tensor\]'.*a tensor of float32/),
    );
    await assert.rejects(
      call("applied", [x, [weights, null]]),
      fails("INVALID_INPUT", /at \[1\] for argument 'all' but instead was given null/),
    );
    await assert.rejects(call("raises", [x]), fails("EXECUTION_FAILED", /"model.torchscript" failed: .*1x4 and 7x7/));
    await assert.rejects(functions.keep("raises", [x]), fails("EXECUTION_FAILED", /1x4 and 7x7/));
    assert.equal(await call("number", [weights]), 1);
  });

  it("are freed while calls run, which end; later calls are refused", async () => {
    const other = new Executor({ threads: 1 });
    const own = await TorchFunctions.compile(SOURCE, { executor: other, name: "model.torchscript" });
    const weights = await own.keep("weights", [3]);
    const running = [own.call("slow", [2000]), own.call("apply", [x, weights])];
    const freed = [weights.dispose(), weights.dispose(), own.dispose(), own.dispose()];
    assert.deepEqual([...asTensor((await Promise.all(running))[1]).data], [111, 112, 113, 114]);
    await Promise.all(freed);
    await assert.rejects(own.call("number", [weights]), fails("DISPOSED", /"model.torchscript" has been disposed/));
    await assert.rejects(call("number", [weights]), fails("DISPOSED", /TorchValue has been disposed/));
    await other.close();
  });

  it("and their values are freed after their executor was closed", async () => {
    const other = new Executor({ threads: 1 });
    const own = await TorchFunctions.compile(SOURCE, { executor: other, name: "model.torchscript" });
    const weights = await own.keep("weights", [1]);
    await other.close();
    await assert.rejects(own.call("number", [weights]), fails("DISPOSED"));
    assert.equal(await call("number", [weights]), 1);
    await weights.dispose();
    await own.dispose();
  });

  it("that have a mistake are refused with its line, its column and libtorch's words", async () => {
    const begun = "def first(x: Tensor) -> Tensor:\n    return x\n\n";
    for (const [source, message] of [
      [
        `${begun}def second(x):\n    return first(x) + missing\n`,
        /line 5, column 23 \(return first\(x\) \+ missing\),.*undefined value missing/,
      ],
      [
        `${begun}def second(x: Unknown):\n    return x\n`,
        /line 4, column 15 \(def second\(x: Unknown\):\),.*Unknown type name 'Unknown'/,
      ],
      [`${begun}def second(x:\n    return x\n`, /line 5, column 5 \(return x\),.*expected ident but found 'return'/],
      [`${begun}def second(x):\n    return torch.softmax(x)\n`, /line 5, column 12 .*Argument dim not provided/],
      ["x = 1\n", /line 1, column 1 \(x = 1\),.*expected def/],
    ] as const) {
      await assert.rejects(compiled(source), (error) => {
        assert(error instanceof NeuronBlipError && error.message.length <= 1000 && !error.message.includes("\n"));
        return fails("ARTIFACT_MISMATCH", message)(error);
      });
    }
  });

  it("that need an operator which this libtorch lacks say so, unless hasattr decides against it", async () => {
    const unknown = (name: string) => `def f(x: Tensor) -> Tensor:\n    return ${name}(x)\n`;
    const lacks = (name: RegExp) => fails("ARTIFACT_MISMATCH", name);
    await assert.rejects(compiled(unknown("torch.none")), lacks(/line 2, column 12 .*has no aten::none \(it is \d/));
    await assert.rejects(compiled(unknown("ops.mkldnn.none")), lacks(/has no mkldnn::none \(it is \d/));
    await using decided = await compiled(`
def f(x: Tensor) -> Tensor:
    if hasattr(ops.mkldnn, "none") or hasattr(torch, "none"):
        return ops.mkldnn.none(torch.none(x))
    elif hasattr(torch, "relu") and hasattr(ops.aten, "relu"):
        return ops.aten.relu(x - 2)
    else:
        return torch.none(x)
`);
    assert.deepEqual([...asTensor(await decided.call("f", [x])).data], [0, 0, 1, 2]);
  });
});

describe("packed weights", () => {
  const PACKING = `
def pack(weight: Tensor, layers: int) -> List[PackedLinear]:
    packed: List[PackedLinear] = []
    for i in range(layers):
        q = torch.quantize_per_channel(weight, torch.full([weight.size(0)], 0.05), torch.zeros([weight.size(0)], dtype=int64), 0, torch.qint8)
        packed.append(ops.quantized.linear_prepack(q, None))
    return packed

def run(x: Tensor, packed: List[PackedLinear]) -> Tensor:
    for linear in packed:
        x = ops.quantized.linear_dynamic(x, linear, True)
    return x

def pack_half(weight: Tensor) -> PackedLinear:
    return ops.quantized.linear_prepack_fp16(weight, None)
`;
  const weight = Tensor.from(
    Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 65 === 0 ? 1 : 0)),
    [64, 64],
  );
  const ones = Tensor.zeros("float32", [3, 64]);
  ones.data.fill(1);

  it("are packed for the engine that is asked for, and kept", async () => {
    await using executor = new Executor({ threads: 1 });
    await using functions = await TorchFunctions.compile(PACKING, { executor, name: "packing" });
    // Debian's libtorch has been built without them.
    const engines = hasLibtorch(2, 0) ? (["x86", "onednn", "fbgemm"] as const) : [];
    const sums = await Promise.all(
      engines.map(async (quantizedEngine) => {
        await using packed = await functions.keep("pack", [weight, 2], { quantizedEngine });
        const output = await functions.call<Tensor<"float32">>("run", [ones, packed]);
        return output.data.reduce((sum, value) => sum + value, 0);
      }),
    );
    for (const sum of sums) assert(Math.abs(sum - 3 * 64) < 4, String(sums));
    const half = (quantizedEngine: "onednn" | "x86") => functions.keep("pack_half", [weight], { quantizedEngine });
    if (engines.length > 0) await (await half("x86")).dispose();
    await assert.rejects(half("onednn"), fails("EXECUTION_FAILED", /ONEDNN|no quantized engine "onednn"/i));
    await assert.rejects(
      functions.keep("pack", [weight, 1], { quantizedEngine: "none" as never }),
      fails("INVALID_INPUT"),
    );
    await assert.rejects(
      functions.call("pack", [weight, 1], { quantizedEngine: "qnnpack" }),
      fails("EXECUTION_FAILED"),
    );
  });
});
