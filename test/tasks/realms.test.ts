// Values of other realms: what jsdom, vm contexts and polyfills make, of which `instanceof` says nothing.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import vm from "node:vm";
import { BertTokenizer, NeuronBlip, NeuronBlipError, Tensor, TorchModule } from "neuron-blip";
import { demo, demoModel, demoQuestions, fails, fixture } from "../helpers.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const child = (name: string) => fileURLToPath(new URL(`../children/${name}`, import.meta.url));
const [{ picture, question, answer }] = demoQuestions as [(typeof demoQuestions)[number]];
const file = join(demo, picture);

/** A value made in another context. */
function foreign<T>(code: string): T {
  return vm.runInNewContext(code) as T;
}

/** A signal as a polyfill has it: without `reason`, `throwIfAborted` and Node's EventTarget. */
class PolyfilledSignal {
  aborted = false;
  readonly listeners = new Set<() => void>();

  addEventListener(_type: string, listener: () => void): void {
    this.listeners.add(listener);
  }

  removeEventListener(_type: string, listener: () => void): void {
    this.listeners.delete(listener);
  }

  abort(): void {
    this.aborted = true;
    for (const listener of this.listeners) listener();
  }
}

describe("values of another realm", () => {
  it("are typed arrays like others, for tensors", () => {
    for (const [type, dtype, first] of [
      ["Float32Array", "float32", 1],
      ["Float64Array", "float64", 1],
      ["Int32Array", "int32", 1],
      ["Int16Array", "int16", 1],
      ["Int8Array", "int8", 1],
      ["Uint8Array", "uint8", 1],
      ["BigInt64Array", "int64", 1n],
    ] as const) {
      const tensor = Tensor.from(foreign<Float32Array>(`${type}.of(${typeof first === "bigint" ? "1n" : "1"})`), [1]);
      assert.deepEqual([tensor.dtype, tensor.data[0]], [dtype, first], type);
    }
    const half = Tensor.from(foreign<Uint16Array>("Uint16Array.of(15360)"), [1], "float16");
    assert.equal(half.dtype, "float16");
    const wrong = () => Tensor.from(foreign<Float32Array>("new Float32Array(2)"), [2], "int8" as "float32");
    assert.throws(wrong, fails("INVALID_INPUT", /takes a Int8Array, not a Float32Array/));
    const shape = foreign<number[]>("[2, 1]");
    assert.deepEqual([...Tensor.zeros("float32", shape).shape], [2, 1]);
  });

  it("are options, lists, URLs and signals like others, for a model", async () => {
    const options = foreign<object>("({ numModels: 1, warmUp: false })");
    await using blip = await NeuronBlip.fromPretrained(
      foreign<(address: string) => URL>("(href) => ({ href, protocol: 'file:' })")(pathToFileURL(demoModel).href),
      options,
    );
    const questions = foreign<(text: string) => string[]>("(text) => [text, text]")(question);
    const answers = await blip.answer(file, questions, foreign<object>("({ maxNewTokens: 10 })"));
    assert.deepEqual(
      answers.map((found) => found.answer),
      [answer, answer],
    );
    const misspelt = foreign<object>("({ numModel: 1 })");
    await assert.rejects(NeuronBlip.fromPretrained(demoModel, misspelt), fails("INVALID_INPUT", /"numModel"/));
  });

  it("abort a call where they are a polyfill's AbortSignal, and let it end where they are not aborted", async () => {
    await using blip = await NeuronBlip.fromPretrained(demoModel);
    const quiet = new PolyfilledSignal();
    const signal = quiet as unknown as AbortSignal;
    assert.equal((await blip.answer(file, question, { signal })).answer, answer);
    let text = "";
    for await (const piece of blip.stream(file, question, { signal })) text += piece;
    assert.equal(text, answer);
    assert.equal(quiet.listeners.size, 0, "listeners are left behind");

    const early = new PolyfilledSignal();
    early.aborted = true;
    const asSignal = early as unknown as AbortSignal;
    await assert.rejects(blip.answer(file, question, { signal: asSignal }), fails("ABORTED"));
    const late = new PolyfilledSignal();
    const call = blip.answer(file, question, { signal: late as unknown as AbortSignal });
    late.abort();
    await assert.rejects(call, fails("ABORTED"));
    const stream = new PolyfilledSignal();
    await assert.rejects(async () => {
      for await (const _ of blip.stream(file, question, { signal: stream as unknown as AbortSignal })) stream.abort();
    }, fails("ABORTED"));
  });

  it("are no signals where they only look a little like one", async () => {
    await using blip = await NeuronBlip.fromPretrained(demoModel);
    const cyclic: Record<string, unknown> = { aborted: "yes" };
    cyclic.self = cyclic;
    for (const signal of [null, 7, "now", {}, cyclic, new AbortController(), 10n]) {
      const call = blip.answer(file, question, { signal: signal as unknown as AbortSignal });
      await assert.rejects(call, fails("INVALID_INPUT", /signal must be an AbortSignal, not /));
    }
  });
});

describe("a test runner that gives files contexts of their own", () => {
  for (const mode of ["node", "jsdom"]) {
    it(`has the package work in one like ${mode === "node" ? "Node's" : "jsdom's"}`, async () => {
      const args = ["--experimental-vm-modules", "--no-warnings", child("test-runner.mjs"), child("in-a-context.mjs")];
      const module = fixture("modules/optionalinput.pt");
      const { stdout } = await run(process.execPath, [...args, mode, demoModel, file, question, module]);
      const found = JSON.parse(stdout);
      assert.deepEqual([found.answer, found.signalled, found.streamed], [answer, answer, answer]);
      assert.deepEqual(found.sum, [1, 2, 3, 4]);
      assert.match(found.missing, /^INVALID_IMAGE /);
      assert.match(found.disposed, /^DISPOSED /);
      assert.match(found.noDirectory, /^ARTIFACT_NOT_FOUND .*no model directory "no-such-directory"/);
      assert.equal(found.hasUndefined, false, 'a method is called "undefined", for want of a symbol');
    });
  }
});

describe("two copies of the package in one process", () => {
  let work = "";
  let other: typeof import("neuron-blip");

  before(async () => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-copy-"));
    cpSync(join(root, "dist"), join(work, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(work, "package.json"));
    symlinkSync(join(root, "node_modules"), join(work, "node_modules"));
    symlinkSync(join(root, "build"), join(work, "build"));
    symlinkSync(join(root, "scripts"), join(work, "scripts"));
    other = await import(pathToFileURL(join(work, "dist", "index.js")).href);
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("know each other's errors, and no others", async () => {
    assert.notEqual(other.NeuronBlipError, NeuronBlipError);
    const error = await other.NeuronBlip.fromPretrained("no-such-directory").catch((reason) => reason);
    assert(error instanceof NeuronBlipError && error instanceof Error);
    assert(!(new Error("another") instanceof NeuronBlipError));
    assert(!((undefined as unknown) instanceof NeuronBlipError));
    class Special extends NeuronBlipError {}
    assert(new Special("DISPOSED", "mine") instanceof Special);
    assert(!(error instanceof Special));
  });

  it("tell a tensor of the other apart, by what it is", async () => {
    const tokens = other.Tensor.zeros("int64", [1, 4]);
    await using module = await TorchModule.load(fixture("modules/optionalinput.pt"));
    await assert.rejects(module.forward([tokens as unknown as Tensor]), fails("INVALID_INPUT", /Tensor/));
    const tokenizer = await BertTokenizer.fromPretrained(demoModel);
    assert(tokenizer.padTokenId >= 0);
  });
});

describe("an error that is printed", () => {
  it("has no fields without values", async () => {
    const error = await NeuronBlip.fromPretrained("no-such-directory").catch((reason) => reason);
    assert(!Object.keys(error).includes("status"));
    assert.doesNotMatch((await import("node:util")).inspect(error), /undefined/);
  });
});
