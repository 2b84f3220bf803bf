// `neuron-blip compile` from small random models of each head to model directories. Needs torch and transformers in the Python that
// NEURON_BLIP_PYTHON names: scripts/parity/test-parity.mjs has one.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sdkVersions } from "../../../dist/torch/neuron/sdk-versions.js";
import { buildStandIns } from "../../../scripts/addon/build-stand-ins.mjs";
import { readSafetensors } from "../../parity/safetensors.js";

const SDK = sdkVersions();

const root = fileURLToPath(new URL("../../..", import.meta.url));
const main = join(root, "dist", "cli", "main.js");
const standIns = join(root, "test", "stand-ins", "python");
const python = process.env.NEURON_BLIP_PYTHON ?? "python3";
const PARTS = ["vision_model", "text_encoder", "text_decoder"];
const RANK_PART = "text_decoder_all_positions";

/** Prints, for each file of the stand-in's, the lowest number among its compiled graph's constants. */
const CONSTANTS = `
import io, sys, torch, zipfile
def numbers(block):
    for node in block.nodes():
        if node.kind() == "prim::Constant" and node.output().toIValue() is not None:
            value = node.output().toIValue()
            if isinstance(value, torch.Tensor):
                yield value.double().min().item() if value.numel() else 0.0
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                yield float(value)
        for inner in node.blocks():
            yield from numbers(inner)
for path in sys.argv[1:]:
    archive = zipfile.ZipFile(path)
    pickled = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
    neff = pickled[pickled.index(b"neuron-blip stand-in, not a NEFF"):]
    neff = neff[1024:neff.rindex(b"PK\\5\\6") + 22]
    graph = torch.jit.load(io.BytesIO(neff)).inlined_graph
    print(path, min(numbers(graph)))
`;

/**
 * Prints, of a question encoder and a decoder, how far the masks of this package move what they give; and, with masks that go through
 * fp16 and a product with the identity, as in a compiler's transpose, whether all is a number, and how far it is from that.
 */
const MASKS = `
import contextlib, json, sys, torch
sys.path.insert(0, sys.argv[2])
from transformers import BlipForQuestionAnswering
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention
from neuron_blip_compile import wrappers
from neuron_blip_compile.question_answering import TextDecoderAllPositions, TextEncoder

model = BlipForQuestionAnswering.from_pretrained(sys.argv[1]).eval()
small_masks, attend = wrappers.small_masks, BlipTextSelfAttention.forward

def through_fp16(self, hidden, attention_mask=None, encoder_hidden_states=None, encoder_attention_mask=None, **others):
    def cast(mask):
        return None if mask is None else (mask.half() @ torch.eye(mask.shape[-1]).half()).float()
    return attend(self, hidden, attention_mask=cast(attention_mask), encoder_hidden_states=encoder_hidden_states,
                  encoder_attention_mask=cast(encoder_attention_mask), **others)

@torch.no_grad()
def run(masks, forward):
    wrappers.small_masks, BlipTextSelfAttention.forward = masks, forward
    generator = torch.Generator().manual_seed(0)
    size, text = model.config.vision_config.image_size, model.config.text_config
    image = model.vision_model(torch.randn(3, 3, size, size, generator=generator)).last_hidden_state
    ids = torch.randint(5, text.vocab_size - 5, (3, 12), generator=generator)
    mask = (torch.arange(12) < torch.tensor([[4], [7], [12]])).long()
    question = TextEncoder(model.text_encoder)(ids, mask, image, torch.ones(image.shape[:2], dtype=torch.int64))
    logits = TextDecoderAllPositions(model.text_decoder)(ids, question, mask, torch.ones_like(ids))
    BlipTextSelfAttention.forward = attend
    return torch.cat([(question * mask[..., None]).flatten(), logits.flatten()])

ours, theirs = run(small_masks, attend), run(contextlib.nullcontext, attend)
def told(cast):
    return {"finite": bool(cast.isfinite().all()), "difference": (cast - theirs).abs().max().item()}
print(json.dumps({"difference": (ours - theirs).abs().max().item(), "small": told(run(small_masks, through_fp16)),
                  "large": {"finite": told(run(contextlib.nullcontext, through_fp16))["finite"]}}))
`;

/** A tensor of a part. */
interface TensorSpec {
  name: string;
  dtype: string;
  shape: number[];
}

interface Part {
  file: string;
  sha256: string;
  size: number;
  seconds: number;
  log: string | null;
  checked: boolean;
  checked_on: string | null;
  max_abs_difference: number | null;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
}

/** What neuron_blip.json says, as far as these tests look at it. */
interface Manifest {
  target: string;
  architecture: string;
  question_length: number | null;
  answer_length: number | null;
  batch_size: number;
  batch_sizes: number[];
  compiler_args: string[];
  neuron_options: Record<string, boolean> | null;
  checked_on: string | null;
  reference: { sha256: string };
  parts: Record<string, Part>;
  cpu_parts?: unknown;
  versions: Record<string, string | null>;
}

function manifestOf(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "neuron_blip.json"), "utf8"));
}

/** When each file of a model directory was written; the logs, which every run adds to, left out. */
function writtenTimes(directory: string): Record<string, number> {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({ name }) => [name, statSync(join(directory, name)).mtimeMs]));
}

/** What was done to each part, by the lines on standard output. */
function outcomes(stdout: string): Record<string, string> {
  const found = stdout.matchAll(/^(\w+) +(up to date|traced)\b/gm);
  return Object.fromEntries(Array.from(found, ([, part = "", what = ""]) => [part, what]));
}

/** Each tensor of a part in a line: its name, type and shape. */
function described(specs: TensorSpec[] | undefined): string[] {
  return (specs ?? []).map(({ name, dtype, shape }) => `${name} ${dtype} ${shape.join("x")}`);
}

function allTraced(parts: string[]): Record<string, string> {
  return Object.fromEntries(parts.map((part) => [part, "traced"]));
}

function allUpToDate(parts: string[]): Record<string, string> {
  return Object.fromEntries(parts.map((part) => [part, "up to date"]));
}

/** The names of parts for a batch size that is not the primary. */
function ofBatch(parts: string[], size: number): string[] {
  return parts.map((part) => `${part}_batch_${size}`);
}

/**
 * Asserts that a directory holds the files that its manifest describes, that it has each of `parts` for the primary and the further batch
 * sizes, with these numbers of rows, and that each was checked on `checkedOn`.
 */
function assertSizes(directory: string, parts: string[], sizes: [number, ...number[]], checkedOn: string): void {
  const manifest = manifestOf(directory);
  assert.deepEqual([manifest.batch_size, manifest.batch_sizes], [sizes[0], sizes]);
  const names = [...parts, ...sizes.slice(1).flatMap((size) => ofBatch(parts, size))];
  assert.deepEqual(Object.keys(manifest.parts), names);
  assert.equal(manifest.checked_on, checkedOn);
  for (const [name, part] of Object.entries(manifest.parts)) {
    const rows = Number(/_batch_(\d+)$/.exec(name)?.[1] ?? sizes[0]);
    assert.deepEqual([part.inputs[0]?.shape[0], part.outputs[0]?.shape[0]], [rows, rows], name);
    assert.deepEqual([part.file, part.checked, part.checked_on], [`${name}.pt`, true, checkedOn], name);
    assert(typeof part.max_abs_difference === "number" && part.max_abs_difference < 1e-3, name);
    assert(part.seconds > 0 && (part.log === null || existsSync(join(directory, part.log))), `${name}: ${part.log}`);
  }
  assertWhole(directory);
}

/** Asserts that each part's file is what the manifest says. */
function assertWhole(directory: string): void {
  for (const { file, sha256 } of Object.values(manifestOf(directory).parts)) {
    const digest = createHash("sha256")
      .update(readFileSync(join(directory, file)))
      .digest("hex");
    assert.equal(digest, sha256, file);
  }
}

/** A directory for PYTHONPATH whose sitecustomize.py runs `statement` after a file of the name `file` was moved into its place. */
function afterMove(directory: string, file: string, statement: string): string {
  mkdirSync(directory);
  const code = `
import os
replace = os.replace
def move(source, target, **options):
    replace(source, target, **options)
    if os.path.basename(target) == ${JSON.stringify(file)}:
        ${statement}
os.replace = move
`;
  writeFileSync(join(directory, "sitecustomize.py"), code);
  return directory;
}

/** `neuron-blip compile`. */
function compileModel(model: string, args: string[], env: Record<string, string> = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, "compile", model, ...args], {
    encoding: "utf8",
    env: { ...process.env, NEURON_BLIP_PYTHON: python, ...env },
  });
}

/** Compiles for the CPU, which must succeed; returns what it printed. */
function compileForCpu(model: string, directory: string, ...args: string[]): string {
  const { status, stdout, stderr } = compileModel(model, [directory, "--target", "cpu", ...args]);
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  return stdout;
}

/** Compiles for the CPU, which must fail as wrong usage does; returns its complaint. */
function misuse(model: string, directory: string, ...args: string[]): string {
  return refused(2, model, directory, args);
}

/** Compiles for the CPU, which must fail with exit code 1; returns its complaint. */
function refuse(model: string, directory: string, ...args: string[]): string {
  return refused(1, model, directory, args);
}

function refused(code: number, model: string, directory: string, args: readonly string[]): string {
  const { status, stderr } = compileModel(model, [directory, "--target", "cpu", ...args]);
  assert.equal(status, code, stderr);
  assert.doesNotMatch(stderr, /Traceback/);
  assert(!existsSync(join(directory, "neuron_blip.json")));
  return stderr;
}

/** Compiles for inf2 and two batch sizes on a stand-in for torch_neuronx, and asserts that every part is there and checked. */
async function compileOnStandIn(model: string, work: string, parts: string[]): Promise<void> {
  await buildStandIns();
  const directory = join(work, "inf2");
  const host = join(work, "host");
  mkdirSync(host);
  const env = { PYTHONPATH: standIns, NEURON_BLIP_STAND_IN: host };
  const { status, stdout, stderr } = compileModel(
    model,
    [directory, "--target", "inf2", "--batch-size", "1", "2"],
    env,
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(outcomes(stdout), allTraced([...parts, ...ofBatch(parts, 2)]));
  assertSizes(directory, parts, [1, 2], "stand-in");
}

/** Makes a small model of a head in a directory below `work`, and returns where it is. */
function makeModel(work: string, head: string, ...args: string[]): string {
  const make = [
    join(root, "scripts", "fixtures", "make_fixtures.py"),
    join(work, head),
    "--shapes",
    "small",
    "--head",
    head,
  ];
  const { status, stderr } = spawnSync(python, [...make, ...args], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return join(work, head, "small");
}

describe("neuron-blip compile, with torch", function () {
  this.timeout(10 * 60_000);
  let work = "";
  let model = "";
  let compiled = "";
  let firstRun = "";

  const compile = (args: string[], env: Record<string, string> = {}) => compileModel(model, args, env);
  const succeed = (directory: string, ...args: string[]) =>
    compileForCpu(model, directory, "--question-length", "12", ...args);

  /** A copy of the compiled directory, for one test to change. */
  function copy(name: string): string {
    const directory = join(work, name);
    cpSync(compiled, directory, { recursive: true, preserveTimestamps: true });
    return directory;
  }

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-compile-"));
    model = makeModel(work, "question_answering");
    compiled = join(work, "compiled");
    firstRun = succeed(compiled);
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("traces every part, compares each with transformers, and records what it wrote", () => {
    assert.deepEqual(outcomes(firstRun), allTraced(PARTS));
    const manifest = manifestOf(compiled);
    assert.equal(manifest.target, "cpu");
    assert.equal(manifest.architecture, "BlipForQuestionAnswering");
    assert.deepEqual([manifest.question_length, manifest.answer_length], [12, 20]);
    assert.deepEqual(Object.keys(manifest.parts), PARTS);
    for (const part of PARTS) {
      const { size, max_abs_difference: difference } = manifest.parts[part] ?? {};
      assert.equal(statSync(join(compiled, `${part}.pt`)).size, size);
      assert(typeof difference === "number" && difference < 1e-3, `${part}: ${difference}`);
    }
    assert.match(firstRun, /^answers +(\d+) of \1 equal/m);
    assert(!existsSync(join(compiled, ".compiling")), "left-overs");
  });

  it("rewrites nothing that is up to date", () => {
    const directory = copy("again");
    const before = writtenTimes(directory);
    const stdout = succeed(directory);
    assert.deepEqual(outcomes(stdout), allUpToDate(PARTS));
    assert.deepEqual(writtenTimes(directory), before);
  });

  it("traces only the decoder again for another answer length", () => {
    const directory = copy("longer");
    const stdout = succeed(directory, "--answer-length", "10");
    assert.deepEqual(outcomes(stdout), { ...allUpToDate(PARTS), text_decoder: "traced" });
    assert.equal(manifestOf(directory).answer_length, 10);
    assert.equal(manifestOf(directory).parts.text_encoder?.sha256, manifestOf(compiled).parts.text_encoder?.sha256);
  });

  it("traces a part again that is not what was written", () => {
    const directory = copy("tampered");
    const file = join(directory, "text_encoder.pt");
    const bytes = readFileSync(file);
    const tampered = Buffer.from(bytes);
    const middle = tampered.length >> 1;
    tampered.writeUInt8(tampered.readUInt8(middle) ^ 1, middle);
    writeFileSync(file, tampered);
    const stdout = succeed(directory);
    assert.deepEqual(outcomes(stdout), { ...allUpToDate(PARTS), text_encoder: "traced" });
    assert.notDeepEqual(readFileSync(file), tampered);
    assertWhole(directory);
  });

  it("takes away what an earlier version made for the CPU besides", () => {
    const directory = copy("earlier");
    const path = join(directory, "neuron_blip.json");
    const part = { file: "text_decoder_cached.pt" };
    const earlier = { linears: "fp32", dtype: "float32", parts: { text_decoder_cached: part } };
    writeFileSync(path, JSON.stringify({ ...manifestOf(directory), cpu_parts: earlier }));
    writeFileSync(join(directory, part.file), "");
    assert.deepEqual(outcomes(succeed(directory)), allUpToDate(PARTS));
    assert.equal(manifestOf(directory).cpu_parts, undefined);
    assert(!existsSync(join(directory, part.file)));
  });

  it("adds the part that ranks answers with --rank, and takes it away again without", () => {
    const directory = copy("rank");
    const upToDate = allUpToDate(PARTS);
    assert.deepEqual(outcomes(succeed(directory, "--rank")), { ...upToDate, [RANK_PART]: "traced" });
    const manifest = manifestOf(directory);
    assert.deepEqual(Object.keys(manifest.parts), [...PARTS, RANK_PART]);
    const part = manifest.parts[RANK_PART];
    const vocabulary = manifest.parts.text_decoder?.outputs[0]?.shape[2];
    assert.deepEqual(described(part?.inputs), [
      "input_ids int64 1x20",
      "question_embeds float32 1x12x32",
      "question_attention_mask int64 1x12",
      "attention_mask int64 1x20",
    ]);
    assert.deepEqual(described(part?.outputs), [`logits float32 1x20x${vocabulary}`]);
    assert(part?.max_abs_difference !== null && Number(part?.max_abs_difference) < 1e-3);
    assert(readSafetensors(join(directory, "reference.safetensors")).has(`${RANK_PART}.output.logits`));

    assert.deepEqual(outcomes(succeed(directory)), upToDate);
    assert.deepEqual(Object.keys(manifestOf(directory).parts), PARTS);
    assert(!existsSync(join(directory, `${RANK_PART}.pt`)));
    assert(!readSafetensors(join(directory, "reference.safetensors")).has(`${RANK_PART}.output.logits`));
  });

  it("adds further batch sizes beside the primary, and takes them away again", () => {
    const directory = copy("batches");
    const stdout = succeed(directory, "--batch-size", "1", "4");
    assert.deepEqual(outcomes(stdout), { ...allUpToDate(PARTS), ...allTraced(ofBatch(PARTS, 4)) });
    assert.match(stdout, /answers +8 of 8 equal to transformers' generate, batch size 4/);
    assertSizes(directory, PARTS, [1, 4], "cpu");
    assert.equal(manifestOf(directory).reference.sha256, manifestOf(compiled).reference.sha256);

    const longer = succeed(directory, "--batch-size", "1", "4", "--answer-length", "10");
    const decoders = ["text_decoder", "text_decoder_batch_4"];
    const all = [...PARTS, ...ofBatch(PARTS, 4)];
    assert.deepEqual(outcomes(longer), { ...allUpToDate(all), ...allTraced(decoders) });

    assert.deepEqual(outcomes(succeed(directory, "--answer-length", "10")), allUpToDate(PARTS));
    assert.deepEqual(Object.keys(manifestOf(directory).parts), PARTS);
    assert.deepEqual(manifestOf(directory).batch_sizes, [1]);
    assert(!readdirSync(directory).some((name) => name.includes("_batch_")));
  });

  it("refuses batch sizes that do not increase, and Neuron's options for the CPU", () => {
    const none = join(work, "refused");
    assert.match(misuse(model, none, "--batch-size", "4", "1", "4"), /4 1 4 does not increase.*: --batch-size 1 4\./);
    assert.match(misuse(model, none, "--batch-size", "0", "1"), /--batch-size must be at least 1, not 0/);
    assert.match(misuse(model, none, "--lazy-load"), /--lazy-load has no meaning with --target cpu/);
  });

  it("leaves nothing half done when it is killed, and goes on from there", () => {
    const directory = join(work, "killed");
    const kill = (file: string) => afterMove(join(work, `kill-${file}`), file, "os.kill(os.getpid(), 9)");
    const interrupted = (file: string) => compile([directory, "--target", "cpu"], { PYTHONPATH: kill(file) });
    // While parts are made: the first one is finished.
    const killed = interrupted("vision_model.pt");
    assert.equal(killed.status, 1);
    assert.match(killed.stderr, /was killed \(SIGKILL\).*memory runs out.*Run the same command again/);
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.endsWith(".pt") || name === "neuron_blip.json"),
      [],
    );
    // Its record is written after it.
    assert.deepEqual(outcomes(interrupted("text_encoder.json").stdout), { vision_model: "traced" });
    // While all are put in place, after which the manifest would follow.
    const again = interrupted("reference.safetensors");
    assert.deepEqual(outcomes(again.stdout), {
      vision_model: "up to date",
      text_encoder: "up to date",
      text_decoder: "traced",
    });
    const last = compile([directory, "--target", "cpu"]);
    assert.equal(last.status, 0, last.stderr);
    assert.deepEqual(outcomes(last.stdout), allUpToDate(PARTS));
    assertSizes(directory, PARTS, [1], "cpu");
    const left = readdirSync(directory).filter((name) => name.startsWith(".") || name === "logs");
    assert.deepEqual(left, []);
  });

  it("leaves no lock, log or temporary file behind, whether it succeeds, fails or is asked to end, and goes on from there", () => {
    const temporary = join(work, "temporary");
    mkdirSync(temporary);
    const directory = join(work, "clean");
    const hidden = () => readdirSync(directory).filter((name) => name.startsWith(".") || name === "logs");
    const run = (env: Record<string, string>, ...args: string[]) =>
      compile([directory, "--target", "cpu", ...args], { TMPDIR: temporary, ...env });

    const failed = compile([directory, "--target", "cpu", "--processor", "/no/such"], { TMPDIR: temporary });
    assert.equal(failed.status, 1, failed.stderr);
    assert(!existsSync(directory), "a directory with nothing in it");
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      const shim = afterMove(
        join(work, `end-${signal}`),
        "vision_model.json",
        `import signal; os.kill(os.getpid(), signal.${signal})`,
      );
      const { status, stderr } = run({ PYTHONPATH: shim }, "--force");
      assert.equal(status, code, stderr);
      assert.match(stderr, /interrupted: what is finished is kept/);
      // The parts that are finished.
      assert.deepEqual(hidden(), [".compiling"]);
    }
    const { status, stdout, stderr } = run({});
    assert.equal(status, 0, stderr);
    assert.equal(outcomes(stdout).vision_model, "up to date");
    assert.deepEqual(hidden(), []);
    // torch has its own there.
    const ours = readdirSync(temporary).filter((name) => name.startsWith("neuron-blip"));
    assert.deepEqual(ours, []);
  });

  it("says in a line that the disk is full", () => {
    const shim = join(work, "full");
    mkdirSync(shim);
    writeFileSync(
      join(shim, "sitecustomize.py"),
      "import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(total=9, used=0, free=9)\n",
    );
    const directory = join(work, "full-disk");
    const { status, stderr } = compile([directory, "--target", "cpu", "--log-dir", join(work, "full-logs")], {
      PYTHONPATH: shim,
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^error: could not write to [^\n]+$/m);
    assert.doesNotMatch(stderr, /Traceback|unexpected/);
  });

  it("says what can be compiled where config.json does not name it", () => {
    const unnamed = join(work, "unnamed");
    cpSync(model, unnamed, { recursive: true });
    const file = join(unnamed, "config.json");
    // As text: JSON.stringify would write 0.0 as 0, which transformers 5 refuses.
    const config = readFileSync(file, "utf8");
    for (const [changed, complaint] of [
      [config.replace('"architectures"', '"other"'), /has no "architectures" in its config\.json/],
      [config.replace("BlipForQuestionAnswering", "BlipModel"), /is a BlipModel/],
    ] as const) {
      writeFileSync(file, changed);
      const stderr = refuse(unnamed, join(work, "none"));
      assert.match(stderr, complaint);
      assert.match(
        stderr,
        /BlipForQuestionAnswering \(.*BlipForConditionalGeneration \(.*BlipForImageTextRetrieval \(/,
      );
    }
  });

  it("writes a tokenizer_config.json without circumstances, its special tokens by the name both majors read", () => {
    const written = JSON.parse(readFileSync(join(compiled, "tokenizer_config.json"), "utf8"));
    for (const key of ["is_local", "local_files_only"]) assert(!(key in written), key);
    const saved = { unk_token: "[UNK]", is_local: true, local_files_only: false, extra_special_tokens: ["[DEC]"] };
    const code =
      "import json, sys\nfrom neuron_blip_compile.tokenizer_config import readable_by_all\n" +
      "print(json.dumps(readable_by_all(json.loads(sys.argv[1]))))";
    for (const [config, wanted] of [
      [saved, { additional_special_tokens: ["[DEC]"], unk_token: "[UNK]" }],
      [
        { additional_special_tokens: ["[DEC]"], extra_special_tokens: ["[ENC]", "[DEC]"] },
        { additional_special_tokens: ["[DEC]", "[ENC]"] },
      ],
      [{ extra_special_tokens: { image_token: "[IMG]" } }, { extra_special_tokens: { image_token: "[IMG]" } }],
      [{ extra_special_tokens: [] }, {}],
    ]) {
      const env = { ...process.env, PYTHONPATH: join(root, "scripts", "compile") };
      const { stdout, stderr } = spawnSync(python, ["-c", code, JSON.stringify(config)], { encoding: "utf8", env });
      assert.deepEqual(JSON.parse(stdout || "null"), wanted, stderr);
    }
  });

  it("exits with 1 for --target inf2 without torch_neuronx, and names what to install", () => {
    const hidden = join(work, "without-neuron");
    mkdirSync(hidden);
    writeFileSync(join(hidden, "torch_neuronx.py"), 'raise ImportError("hidden by the test")\n');
    const directory = join(work, "no-neuron");
    const { status, stderr } = compile([directory, "--target", "inf2"], { PYTHONPATH: hidden });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /--target inf2 needs torch_neuronx .*\(hidden by the test\)/);
    const { pip, environment } = SDK;
    assert(
      stderr.includes(`pip install torch-neuronx==${pip["torch-neuronx"]} neuronx-cc==${pip["neuronx-cc"]}\n`),
      stderr,
    );
    assert(stderr.includes(`source ${environment}/bin/activate\n`), stderr);
    assert(stderr.includes(realpathSync(join(root, "scripts", "compile", "requirements.txt"))), stderr);
    assert.doesNotMatch(stderr, /Traceback/);
    assert(!existsSync(join(directory, "neuron_blip.json")));
  });

  describe("for inf2, by a stand-in for torch_neuronx", () => {
    let standInLibraries = "";
    before(async () => {
      standInLibraries = await buildStandIns();
    });

    /** A directory of pretended hardware, without which there is none. */
    function host(name: string): Record<string, string> {
      const directory = join(work, name);
      mkdirSync(directory);
      return { PYTHONPATH: standIns, NEURON_BLIP_STAND_IN: directory };
    }

    /** The arguments of each call of the compiler for a part. */
    function calls(directory: string, part: string): Record<string, unknown>[] {
      const file = join(directory, "logs", "neuronx-cc", part, "stand_in_arguments.json");
      return JSON.parse(readFileSync(file, "utf8"));
    }

    it("gives the compiler its arguments, and says that nothing was checked where there is no device", () => {
      const directory = join(work, "inf2");
      const { status, stdout, stderr } = compile(
        [directory, "--log-dir", join(directory, "logs"), "--target", "inf2"],
        { PYTHONPATH: standIns },
      );
      assert.equal(status, 0, stderr);
      const manifest = manifestOf(directory);
      assert.equal(manifest.target, "inf2");
      const { torch_neuronx: neuronx, neuron_sdk: sdk, neuron_runtime: runtime } = manifest.versions;
      assert.deepEqual([neuronx, sdk, runtime], ["2.9.0+standin", null, null], "of no SDK, and there is no runtime");
      const casts = ["--auto-cast=matmult", "--auto-cast-type=fp16"];
      const others = ["--model-type=transformer", "--enable-saturate-infinity"];
      assert.deepEqual(manifest.compiler_args, [...casts, ...others]);
      for (const part of PARTS) {
        assert.deepEqual(calls(directory, part), [
          {
            compiler_args: [...manifest.compiler_args, "--target", "inf2"],
            cpu_backend: true,
            inline_weights_to_neff: true,
          },
        ]);
        const { checked, checked_on: on, max_abs_difference: difference, log } = manifest.parts[part] ?? {};
        assert.deepEqual([checked, on, difference], [false, null, null]);
        assert.equal(log, `logs/neuronx-cc/${part}`);
      }
      assert.equal(manifest.checked_on, null);
      assert.match(stdout, /^not checked: this host has no Neuron device/m);

      // Where there is one, what is there is checked, and not compiled again.
      const late = { ...host("late"), NEURON_BLIP_LIBNRT: standInLibraries };
      const checked = compile([directory, "--log-dir", join(directory, "logs"), "--target", "inf2"], late);
      assert.equal(checked.status, 0, checked.stderr);
      assert.deepEqual(outcomes(checked.stdout), allUpToDate(PARTS));
      assert.match(checked.stdout, /^compiled parts are checked on a stand-in for Neuron/m);
      assert.doesNotMatch(checked.stdout, /not checked/);
      assertSizes(directory, PARTS, [1], "stand-in");
      assert.equal(manifestOf(directory).versions.neuron_runtime, "2.33.0.0", "the stand-in's");
    });

    it("runs each part twice before it is compared, as parts were seen that hang on their second call", () => {
      const directory = join(work, "inf2-warm");
      const env = host("warm-host");
      writeFileSync(join(work, "warm-host", "log_events"), "");
      const { status, stderr } = compile([directory, "--target", "inf2"], env);
      assert.equal(status, 0, stderr);
      const events = readFileSync(join(work, "warm-host", "events.log"), "utf8").split("\n");
      const calls = events.filter((line) => line.includes(" begin ")).map((line) => line.split(" ")[3]);
      // Each is compared over four batches, alone: six calls before the next part's first.
      const [first] = calls;
      assert.deepEqual(
        calls.slice(0, 7).map((model) => model === first),
        [...Array(6).fill(true), false],
      );
    });

    it("knows which SDK torch-neuronx and the compiler are of", () => {
      const { pip, sdk } = SDK;
      const code = `
import sys
from neuron_blip_compile.sdk import sdk_of
print(sdk_of("${pip["torch-neuronx"]}+ab12cd34", "${pip["neuronx-cc"]}+ab12cd34"), sdk_of("2.8.0", "2.21.0"), sdk_of("${pip["torch-neuronx"]}", None))
`;
      const env = { ...process.env, PYTHONPATH: join(root, "scripts", "compile") };
      const { stdout, stderr } = spawnSync(python, ["-c", code], { encoding: "utf8", env });
      assert.equal(stdout, `${sdk} None None\n`, stderr);
    });

    it("warns of --auto-cast=all, and of a type without a cast", () => {
      for (const [args, warning] of [
        ["--auto-cast=all", /warning: --auto-cast=all casts what is no matrix product too/],
        ["--auto-cast all --auto-cast-type bf16", /warning: --auto-cast=all/],
        ["--auto-cast-type=fp16", /warning: --auto-cast-type without --auto-cast casts nothing/],
      ] as const) {
        const none = join(work, "no-model");
        const { stderr } = compileModel(join(work, "nothing"), [none, "--target", "inf2", `--compiler-args=${args}`], {
          PYTHONPATH: standIns,
        });
        assert.match(stderr, warning);
      }
      const quiet = compileModel(join(work, "nothing"), [join(work, "no-model"), "--target", "inf2"], {
        PYTHONPATH: standIns,
      });
      assert.doesNotMatch(quiet.stderr, /--auto-cast/);
    });

    it("compiles masks that casts leave numbers", () => {
      const directory = join(work, "inf2-masks");
      const args = [directory, "--target", "inf2", "--rank"];
      const { status, stderr } = compile(args, { PYTHONPATH: standIns });
      assert.equal(status, 0, stderr);
      const parts = [...PARTS, RANK_PART];
      const constants = spawnSync(python, ["-c", CONSTANTS, ...parts.map((part) => join(directory, `${part}.pt`))], {
        encoding: "utf8",
        env: { ...process.env, PYTHONPATH: standIns },
      });
      const lowest = Object.fromEntries(
        constants.stdout
          .trim()
          .split("\n")
          .map((line) => line.split(" ") as [string, string])
          .map(([file, value]) => [basename(file, ".pt"), Number(value)]),
      );
      // The vision model has no mask.
      for (const part of parts.slice(1))
        assert.equal(lowest[part], -1e4, `${part}: ${constants.stdout}${constants.stderr}`);
      assert((lowest.vision_model ?? Number.NaN) > -1e4);
    });

    it("attends with them as with transformers' own, and where those become no numbers in fp16 they do not", () => {
      const { stdout, stderr } = spawnSync(python, ["-c", MASKS, model, join(root, "scripts", "compile")], {
        encoding: "utf8",
      });
      const { difference, small, large } = JSON.parse(stdout || "{}");
      assert.equal(difference, 0, stderr);
      assert(small.finite && small.difference < 1e-6, stdout);
      assert.equal(large.finite, false, "or this shows nothing");
    });

    it("compiles and checks every part for each batch size, with the options of torch_neuronx", () => {
      const directory = join(work, "inf2-batches");
      const options = ["--async-load", "--lazy-load", "--compiler-args=--optlevel=1"];
      const args = [
        directory,
        "--log-dir",
        join(directory, "logs"),
        "--target",
        "inf2",
        "--batch-size",
        "1",
        "3",
        "--rank",
        ...options,
      ];
      const { status, stdout, stderr } = compile(args, host("batches-host"));
      assert.equal(status, 0, stderr);
      const parts = [...PARTS, RANK_PART];
      assert.deepEqual(outcomes(stdout), allTraced([...parts, ...ofBatch(parts, 3)]));
      assert.match(stdout, /answers +6 of 6 equal to transformers' generate, batch size 3/);
      assert.doesNotMatch(stderr, /warning/);
      assertSizes(directory, parts, [1, 3], "stand-in");
      assert.deepEqual(manifestOf(directory).neuron_options, { async_load: true, lazy_load: true });
      assert.deepEqual(calls(directory, "text_decoder_batch_3"), [
        { compiler_args: ["--optlevel=1"], cpu_backend: false, inline_weights_to_neff: true },
      ]);
    });

    it("leaves the directory as it was where the compiler fails, says what to try, and goes on from there", () => {
      const directory = copy("failing");
      const before = writtenTimes(directory);
      const env = host("failing-host");
      const fail =
        'open(os.environ["NEURON_BLIP_STAND_IN"] + "/trace_failure", "w").write("neuronx-cc failed with 70")';
      const hook = afterMove(join(work, "fail-second"), "vision_model.json", fail);
      const args = [directory, "--log-dir", join(directory, "logs"), "--target", "inf2", "--batch-size", "2"];
      const { status, stderr } = compile(args, { ...env, PYTHONPATH: [hook, standIns].join(delimiter) });
      assert.equal(status, 1, stderr);
      assert.match(stderr, /failed on text_encoder, batch size 2: neuronx-cc failed with 70/);
      assert(stderr.includes(join(directory, "logs", "neuronx-cc", "text_encoder")), stderr);
      assert.match(stderr, /What to try: a smaller --batch-size; .*--compiler-args/);
      assert.deepEqual(writtenTimes(directory), before);

      rmSync(join(work, "failing-host", "trace_failure"));
      const again = compile(args, env);
      assert.equal(again.status, 0, again.stderr);
      assert.deepEqual(outcomes(again.stdout), { ...allTraced(PARTS), vision_model: "up to date" });
      assert.equal(calls(directory, "vision_model").length, 1);
      assertSizes(directory, PARTS, [2], "stand-in");
    });

    it("warns of what casts change, and refuses it with --tolerance", () => {
      const shim = join(work, "coarse");
      mkdirSync(shim);
      // The stand-in, with outputs rounded to multiples of 8.
      const code = `
import importlib.util, sys, torch
where = ${JSON.stringify(join(standIns, "torch_neuronx"))}
spec = importlib.util.spec_from_file_location(__name__, where + "/__init__.py", submodule_search_locations=[where])
package = importlib.util.module_from_spec(spec)
sys.modules[__name__] = package
spec.loader.exec_module(package)
exact = package.trace
class Coarse(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
    def forward(self, *inputs):
        output = self.module(*inputs)
        coarse = lambda tensor: torch.round(tensor / 8) * 8
        return {name: coarse(tensor) for name, tensor in output.items()} if isinstance(output, dict) else coarse(output)
package.trace = lambda module, inputs, **options: exact(Coarse(module), inputs, **options)
`;
      writeFileSync(join(shim, "torch_neuronx.py"), code);
      const directory = join(work, "coarse-inf2");
      const args = [directory, "--log-dir", join(directory, "logs"), "--target", "inf2"];
      const env = { ...host("coarse-host"), PYTHONPATH: shim };
      const refused = compile([...args, "--tolerance", "0.1"], env);
      assert.equal(refused.status, 1, refused.stderr);
      assert.match(refused.stderr, /vision_model differs from transformers by \d.*more than 0\.1 times .*--tolerance/);
      assert(!existsSync(join(directory, "neuron_blip.json")));

      const { status, stdout, stderr } = compile(args, env);
      assert.equal(status, 0, stderr);
      assert.deepEqual(outcomes(stdout), { ...allTraced(PARTS), vision_model: "up to date" });
      assert.match(stderr, /warning: vision_model differs from transformers by \d\S*, more than 0\.05 times /);
      assert.match(stderr, /warning: \d of 2 answers differ from transformers' generate \(\d+ %\), batch size 1/);
      const difference = manifestOf(directory).parts.vision_model?.max_abs_difference;
      assert(typeof difference === "number" && difference > 1, String(difference));
    });

    it("says which options or what kind of torch_neuronx is missing, before it loads a model", () => {
      for (const [name, code, status, complaint] of [
        ["old", "def trace(func, inputs): ...", 1, /does not know --async-load and --lazy-load\. .*torch-neuronx 2\.9/],
        [
          "new",
          "",
          1,
          /torch_neuronx 9\.9 cannot trace models: TorchNeuron, .*Inf2 needs torch-neuronx 2\.9 or earlier/,
        ],
      ] as const) {
        const shim = join(work, `torch-neuronx-${name}`);
        mkdirSync(shim);
        writeFileSync(join(shim, "torch_neuronx.py"), `__version__ = "9.9"\n${code}\n`);
        const args = [join(work, "none"), "--target", "inf2", "--lazy-load", "--async-load"];
        const result = compile(args, { PYTHONPATH: shim });
        assert.equal(result.status, status, result.stderr);
        assert.match(result.stderr, complaint);
        assert.doesNotMatch(result.stderr, /Loading|Traceback/);
      }
    });
  });
});

describe("neuron-blip compile of captions, with torch", function () {
  this.timeout(10 * 60_000);
  let work = "";
  let model = "";
  const parts = ["vision_model", "text_decoder"];

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-compile-"));
    model = makeModel(work, "captioning", "--vision-width", "48");
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("traces its parts, and captions as transformers does, with and without a prompt", () => {
    const directory = join(work, "compiled");
    const stdout = compileForCpu(model, directory, "--batch-size", "3", "4");
    const all = [...parts, ...ofBatch(parts, 4)];
    assert.deepEqual(outcomes(stdout), allTraced(all));
    assert.match(stdout, /captions +6 of 6 equal.*, batch size 3\n/);
    assert.match(stdout, /captions +8 of 8 equal.*, batch size 4\n/);
    assertSizes(directory, parts, [3, 4], "cpu");
    const manifest = manifestOf(directory);
    assert.equal(manifest.architecture, "BlipForConditionalGeneration");
    assert.deepEqual([manifest.question_length, manifest.answer_length], [null, 40]);
    const { inputs, outputs, max_abs_difference: difference } = manifest.parts.text_decoder ?? {};
    const patches = manifest.parts.vision_model?.outputs[0]?.shape[1];
    assert.deepEqual(described(inputs), [
      "input_ids int64 3x40",
      `image_embeds float32 3x${patches}x48`,
      `image_attention_mask int64 3x${patches}`,
      "attention_mask int64 3x40",
      "current_position int64 1",
    ]);
    assert.deepEqual(
      outputs?.map(({ name, shape }) => [name, ...shape.slice(0, 2)]),
      [["logits", 3, 1]],
    );
    assert(typeof difference === "number" && difference < 1e-3, String(difference));
    const generation = JSON.parse(readFileSync(join(directory, "generation_config.json"), "utf8"));
    const { text_config: text } = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
    assert.deepEqual([generation.bos_token_id, generation.eos_token_id], [text.bos_token_id, 102]);
    const reference = readSafetensors(join(directory, "reference.safetensors"));
    const sizes = ["pixel_values", "input_ids", "sequences"].map((name) => reference.get(`generate.${name}`)?.shape);
    assert.deepEqual(sizes, [
      [3, 3, 32, 32],
      [3, 5],
      [3, 41],
    ]);
    assert.deepEqual(outcomes(compileForCpu(model, directory, "--batch-size", "3", "4")), allUpToDate(all));
  });

  it("compiles for inf2, by a stand-in for torch_neuronx, for two batch sizes", () =>
    compileOnStandIn(model, work, parts));

  it("takes an answer length that leaves room for one token, and none that it has no use for", () => {
    const directory = join(work, "short");
    assert.match(compileForCpu(model, directory, "--answer-length", "1"), /captions +2 of 2 equal/);
    const none = join(work, "none");
    assert.match(misuse(model, none, "--question-length", "8"), /--question-length has no meaning for BlipForCond/);
    assert.match(misuse(model, none, "--rank"), /--rank has no meaning for BlipForConditionalGeneration/);
  });
});

describe("neuron-blip compile of image-text retrieval, with torch", function () {
  this.timeout(10 * 60_000);
  let work = "";
  let model = "";
  const parts = ["vision_model", "image_text_matching", "image_projection", "text_projection"];

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-compile-"));
    model = makeModel(work, "retrieval", "--vision-width", "48");
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("traces its parts, and scores as transformers does", () => {
    const directory = join(work, "compiled");
    const args = ["--batch-size", "3", "4", "--question-length", "12"];
    const stdout = compileForCpu(model, directory, ...args);
    const all = [...parts, ...ofBatch(parts, 4)];
    assert.deepEqual(outcomes(stdout), allTraced(all));
    assertSizes(directory, parts, [3, 4], "cpu");
    for (const score of ["match", "similarity"]) {
      const difference = new RegExp(`^${score} +largest difference from transformers (\\S+)`, "m").exec(stdout)?.[1];
      assert(Number(difference) < 1e-4, stdout);
    }
    const manifest = manifestOf(directory);
    assert.equal(manifest.architecture, "BlipForImageTextRetrieval");
    assert.deepEqual([manifest.question_length, manifest.answer_length], [12, null]);
    const patches = manifest.parts.vision_model?.outputs[0]?.shape[1];
    const width = manifest.parts.image_projection?.outputs[0]?.shape[1];
    const texts = ["input_ids int64 3x12", "attention_mask int64 3x12"];
    const picture = `image_embeds float32 3x${patches}x48`;
    const wanted: Record<string, [string[], string]> = {
      image_text_matching: [[...texts, picture, `image_attention_mask int64 3x${patches}`], "itm_logits float32 3x2"],
      image_projection: [[picture], `image_features float32 3x${width}`],
      text_projection: [texts, `text_features float32 3x${width}`],
    };
    for (const [part, [inputs, output]] of Object.entries(wanted)) {
      const found = manifest.parts[part];
      assert.deepEqual([described(found?.inputs), described(found?.outputs)], [inputs, [output]]);
      assert(typeof found?.max_abs_difference === "number" && found.max_abs_difference < 1e-3, part);
    }
    assert(!existsSync(join(directory, "generation_config.json")));
    const names = [...readSafetensors(join(directory, "reference.safetensors")).keys()];
    assert(!names.some((name) => name.startsWith("generate.")), names.join());
    assert.deepEqual(outcomes(compileForCpu(model, directory, ...args)), allUpToDate(all));
  });

  it("compiles for inf2, by a stand-in for torch_neuronx, for two batch sizes", () =>
    compileOnStandIn(model, work, parts));

  it("takes the place of another head's directory, and leaves nothing of it", () => {
    const directory = join(work, "replaced");
    compileForCpu(makeModel(work, "captioning"), directory);
    compileForCpu(model, directory);
    for (const name of ["text_decoder.pt", "generation_config.json"]) assert(!existsSync(join(directory, name)), name);
    assert.deepEqual(Object.keys(manifestOf(directory).parts), parts);
  });

  it("takes no option that it has no use for", () => {
    const none = join(work, "none");
    assert.match(misuse(model, none, "--answer-length", "8"), /--answer-length has no meaning for BlipForImageText/);
    assert.match(misuse(model, none, "--rank"), /--rank has no meaning for BlipForImageTextRetrieval/);
  });
});
