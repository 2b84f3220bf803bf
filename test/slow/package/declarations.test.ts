// The declarations as users' compilers read them, each version of TypeScript from the registry; and what attw says of the package.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const VERSIONS = ["5.2", "5.4", "5.6", "5.9", "6.0"];
const RESOLUTIONS = [
  { module: "node16", moduleResolution: "node16" },
  { module: "nodenext", moduleResolution: "nodenext" },
  { module: "esnext", moduleResolution: "bundler" },
];
/** What a program may have of others' types. */
const SURROUNDINGS = {
  "Node's types": { types: ["node"], lib: ["es2022"] },
  "the DOM's types": { types: [], lib: ["es2022", "dom"] },
  "neither Node's nor the DOM's types": { types: [], lib: ["es2022"] },
};

const PROGRAM = `
import { type Answer, BlipProcessor, NeuronBlip, NeuronBlipError, type NeuronBlipOptions, type Picture, pipeline, Tensor,
  type TensorData, TorchModule } from "neuron-blip";

export async function main(): Promise<void> {
  const options: NeuronBlipOptions = { numModels: 2, maxPixels: 1 };
  const blip = await NeuronBlip.fromPretrained("./model", options);
  const one: Answer = await blip.answer("dog.jpg", "what?");
  const several: Answer[] = await blip.answer(new Uint8Array(3), ["what?", "why?"]);
  const picture: Picture = { data: new Uint8Array(12), width: 2, height: 2, channels: 3 };
  for await (const piece of blip.stream(picture, "what?")) {
    const text: string = piece;
    void text;
  }
  blip.on("replicaFailed", ({ replica, error }) => {
    const failed: [number, Error] = [replica, error];
    void failed;
  });
  // @ts-expect-error: there is no such event
  blip.on("replicaSang", () => {});
  // @ts-expect-error: there is no such option
  await NeuronBlip.fromPretrained("./model", { numModel: 2 });
  // @ts-expect-error: a question is a text
  await blip.answer("dog.jpg", 7);
  const tensor: Tensor<"float32"> = Tensor.from(new Float32Array(4), [2, 2]);
  const data: Float32Array = tensor.data;
  const whole: TensorData<"int64"> = BigInt64Array.of(1n);
  // @ts-expect-error: float32 is not int64
  const wrong: BigInt64Array = tensor.data;
  const module = await TorchModule.load("x.pt");
  const output = await module.forward<Tensor>([tensor]);
  const ask = await pipeline("visual-question-answering", "./model");
  const [{ answer } = { answer: "" }] = await ask("dog.jpg", "what?");
  const ids = (await BlipProcessor.fromPretrained("./model")).processText("a").inputIds.data;
  try {
    await ask[Symbol.asyncDispose]();
    tensor[Symbol.dispose]();
  } catch (error) {
    if (error instanceof NeuronBlipError && error.code === "DISPOSED") void error.message;
  }
  void [one.answer, several[0]?.score, data[0], whole, wrong, output.shape, answer, ids[0]];
  await using other = await NeuronBlip.fromPretrained("./model");
  void other.architecture;
}`;

const OF_NODE = `
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { NeuronBlip } from "neuron-blip";

export async function main(): Promise<void> {
  const blip = await NeuronBlip.fromPretrained(pathToFileURL("./model"));
  await once(blip, "replicaReady");
  await blip.answer(await readFile("dog.jpg"), "what?", { signal: AbortSignal.timeout(1000) });
}`;

describe("the declarations", function () {
  this.timeout(10 * 60_000);
  let work = "";

  function succeed(program: string, args: string[], cwd = work): string {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8" });
    assert.equal(status, 0, `${program} ${args.join(" ")} exited with ${status}\n${stdout}\n${stderr}`);
    return stdout;
  }

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-declarations-"));
    writeFileSync(join(work, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
    const compilers = VERSIONS.map((version) => `typescript-${version}@npm:typescript@${version}`);
    const tools = [...compilers, "@types/node@20", "@arethetypeswrong/cli"];
    succeed("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...tools]);
    const installed = join(work, "node_modules", "neuron-blip");
    mkdirSync(installed);
    cpSync(join(root, "dist"), join(installed, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(installed, "package.json"));
    writeFileSync(join(work, "program.ts"), PROGRAM);
    writeFileSync(join(work, "of-node.ts"), OF_NODE);
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  for (const version of VERSIONS) {
    for (const [name, surroundings] of Object.entries(SURROUNDINGS)) {
      it(`are read by TypeScript ${version} with ${name}, however modules are found`, () => {
        for (const resolution of RESOLUTIONS) {
          const compilerOptions = {
            ...resolution,
            ...surroundings,
            // `await using` is of the compiler's own library.
            lib: [...surroundings.lib, "esnext.disposable"],
            target: "es2022",
            strict: true,
            skipLibCheck: false,
            noEmit: true,
          };
          const files = surroundings.types.length > 0 ? ["program.ts", "of-node.ts"] : ["program.ts"];
          writeFileSync(join(work, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
          succeed(process.execPath, [join("node_modules", `typescript-${version}`, "lib", "tsc.js"), "-p", "."]);
        }
      });
    }
  }

  it("bring the library that they need along, where a program names none", () => {
    const compilerOptions = {
      module: "node16",
      types: [],
      lib: ["es2022"],
      target: "es2022",
      strict: true,
      noEmit: true,
    };
    writeFileSync(join(work, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
    for (const version of VERSIONS) {
      succeed(process.execPath, [join("node_modules", `typescript-${version}`, "lib", "tsc.js"), "-p", "."]);
    }
  });

  it("have no faults that attw finds, but for being ES modules alone", () => {
    const [packed] = JSON.parse(
      succeed("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", work], root).replace(/^[^[]*/, ""),
    );
    const attw = join(work, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
    succeed(process.execPath, [attw, join(work, packed.filename), "--ignore-rules", "cjs-resolves-to-esm"]);
  });
});
