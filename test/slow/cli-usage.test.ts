// The command line as a shell meets it: its exit codes, its pipes, its full disks, and what it says to a slip of the pen.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compiledModel, demo, demoModel, demoQuestions } from "../helpers.js";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const [{ picture, question, answer }] = demoQuestions as [(typeof demoQuestions)[number]];
const file = join(demo, picture);
const COMMANDS = ["ask", "bench", "build", "caption", "compile", "demo", "doctor", "match", "validate"];

describe("neuron-blip on the command line, as a shell meets it", () => {
  let work = "";

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-cli-"));
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  function cli(args: string[], options: { input?: Buffer; stdio?: (number | "pipe")[] } = {}) {
    return spawnSync(process.execPath, [main, ...args], { cwd: work, encoding: "utf8", ...options });
  }

  /** Asserts that a command fails with one line. */
  function complains(args: string[], code: number, message: RegExp): void {
    const { status, stdout, stderr } = cli(args);
    assert.equal(status, code, `${args.join(" ")}\n${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, message);
    assert.match(stderr, /^neuron-blip: [^\n]+\n$/, "more than a line");
    assert.doesNotMatch(stderr, /undefined|\n {4}at /);
  }

  it("has a help for each command, by `help COMMAND` and by `COMMAND --help`", () => {
    for (const command of COMMANDS.filter((name) => name !== "compile")) {
      const { status, stdout } = cli(["help", command]);
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`Usage: neuron-blip ${command}\\b`));
      assert.equal(cli([command, "--help"]).stdout, stdout);
    }
    const all = cli(["help"]);
    assert.equal(all.status, 0);
    for (const command of COMMANDS) assert.match(all.stdout, new RegExp(`^ {2}${command}\\b`, "m"));
  });

  it("suggests the command and the option that a misspelt one is near to", () => {
    complains(["aks", "dir"], 2, /no command "aks"\. Did you mean ask\?/);
    complains(["help", "dmeo"], 2, /Did you mean demo\?/);
    complains(["--vers"], 2, /Did you mean --version\?/);
    complains(["sing"], 2, /no command "sing"\. `neuron-blip --help`/);
    complains(["ask", "dir", "a.png", "what?", "--num-beam=2"], 2, /no option --num-beam\. Did you mean --num-beams\?/);
    complains(["caption", "dir", "a.png", "--promt", "a"], 2, /Did you mean --prompt\?/);
    complains(["build", "--forse"], 2, /Did you mean --force\?/);
    complains(["validate", "dir", "--zzz"], 2, /no option --zzz\. `--help`/);
    complains(["ask", "dir", "a.png", "what?", "--num-beams"], 2, /--num-beams takes a value, which is missing/);
    complains(
      ["ask", "dir", "a.png", "what?", "--tokenizer", "--json"],
      2,
      /--tokenizer takes a value.*--tokenizer=VALUE/,
    );
    complains(["ask", "dir", "a.png", "what?", "--json=yes"], 2, /--json takes no value/);
  });

  it("refuses a question that was not quoted, with the quoted form, and takes several that are", () => {
    const quoted = /neuron-blip ask dir dog\.jpg "how many dogs are there\?" --json/;
    complains(["ask", "dir", "dog.jpg", "how", "many", "dogs", "are", "there?", "--json"], 2, quoted);
    complains(["ask", "dir", "my dog.jpg", "--stream", "where", "is it?"], 2, /"my dog\.jpg" "where is it\?" --stream/);
    complains(["ask", "dir", "dog.jpg", "what's", "$this?"], 2, /'what'\\''s \$this\?'/);
    const { status, stdout, stderr } = cli(["ask", demoModel, file, question, "what?", "where is it?"]);
    assert.equal(status, 0, stderr);
    assert.equal(stdout.trim().split("\n").length, 3);
  });

  it("speaks of options by their names, and of their values as wrong usage", () => {
    const ask = ["ask", demoModel, file, question];
    complains([...ask, "--num-beams", "0"], 2, /--num-beams must be/);
    complains([...ask, "--max-new-tokens", "0"], 2, /^neuron-blip: --max-new-tokens /);
    complains([...ask, "--max-new-tokens", "1000"], 1, /compile again with --answer-length 1000/);
    complains([...ask, "--max-pixels", "0"], 2, /--max-pixels takes a whole number of 1 or more/);
    complains([...ask, "--max-pixels", "100"], 1, /raise --max-pixels.*\[IMAGE_TOO_LARGE\]/);
    complains(["ask", demoModel, file, "dog ".repeat(60)], 1, /cut it with --truncate.*\[INPUT_TOO_LONG\]/);
  });

  it("reads a picture from the standard input", () => {
    const input = readFileSync(file);
    const { status, stdout, stderr } = cli(["ask", demoModel, "-", question, "--json"], { input });
    assert.equal(status, 0, stderr);
    const said = JSON.parse(stdout);
    assert.deepEqual([said.image, said.answer], ["-", answer]);
    const nothing = cli(["ask", demoModel, "-", question], { input: Buffer.alloc(0) });
    assert.equal(nothing.status, 1);
    assert.match(nothing.stderr, /^neuron-blip: The picture on the standard input .*empty.*\[INVALID_IMAGE\]/);
  });

  it("ends quietly when nobody reads what it prints", async () => {
    for (const args of [["ask", demoModel, file, question, question, "--json"], ["--help"], ["help", "ask"]]) {
      const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
      child.stdout.destroy();
      let stderr = "";
      child.stderr.on("data", (text) => {
        stderr += text;
      });
      const code = await new Promise((resolve) => child.on("close", resolve));
      assert.deepEqual([code, stderr], [0, ""], args[0]);
    }
  });

  if (existsSync("/dev/full")) {
    it("says in one line that the disk is full", () => {
      const full = openSync("/dev/full", "w");
      try {
        for (const args of [["--help"], ["ask", demoModel, file, question]]) {
          const { status, stderr } = cli(args, { stdio: ["pipe" as never, full, "pipe" as never] });
          assert.equal(status, 1);
          assert.equal(stderr, "neuron-blip: Cannot write the standard output: no space is left on the device.\n");
        }
      } finally {
        closeSync(full);
      }
      const { status, stderr } = cli(["demo", "--output", "/dev/full"]);
      assert.equal(status, 1);
      assert.equal(stderr, 'neuron-blip: Cannot write "/dev/full": no space is left on the device.\n');
    });
  }

  it("says before it works that an output cannot be written", () => {
    const part = join(compiledModel, "vision_model.pt");
    writeFileSync(join(work, "file"), "");
    mkdirSync(join(work, "directory"));
    complains(
      ["demo", "--output", "none/page.html"],
      1,
      /Cannot write "none\/page\.html": its directory does not exist/,
    );
    complains(["demo", "--output", "directory"], 1, /Cannot write "directory": it is a directory/);
    complains(
      ["demo", "--output", "file/page.html"],
      1,
      /Cannot write "file\/page\.html": a directory in its path is a file/,
    );
    complains(["bench", part, "--json", "none/figures.json"], 1, /Cannot write "none\/figures\.json"/);
    complains(["bench", part, "--html", "directory"], 1, /Cannot write "directory"/);
    complains(["validate", compiledModel, "--out", "file/report"], 1, /Cannot write into "file\/report"/);
    // Root may write there by its permissions, and cannot.
    if (existsSync("/proc")) {
      complains(["validate", compiledModel, "--out", "/proc/report"], 1, /Cannot write into "\/proc\/report"/);
      complains(["bench", part, "--json", "/proc/figures.json"], 1, /Cannot write "\/proc\/figures\.json"/);
    }
  });

  it("leaves no directory of reports behind where there is no model", () => {
    complains(["validate", "no-such-directory"], 1, /\[ARTIFACT_NOT_FOUND\]/);
    assert(!existsSync(join(work, "neuron-blip-report")));
  });
});

describe("a model that is not compiled", () => {
  let work = "";
  let saved = "";

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-saved-"));
    saved = join(work, "my blip");
    mkdirSync(saved);
    writeFileSync(join(saved, "config.json"), '{"model_type": "blip"}');
    writeFileSync(join(saved, "model.safetensors"), "");
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("that is a damaged checkpoint is told what it lacks, or what else to do with it", () => {
    for (const [args, told] of [
      [["ask", saved, file, question], /tokenizer\.json/],
      [["caption", saved, file], /tokenizer\.json/],
      [["validate", saved], /holds no compiled parts.* neuron-blip doctor DIR/],
      [
        ["bench", saved],
        /give NeuronBlip\.fromPretrained the directory .*compile '.*my blip' 'my blip-inf2' --target inf2/,
      ],
      [["ask", demoModel, file, question, "--tokenizer", saved], /tokenizer\.json/],
    ] as const) {
      const { status, stderr } = spawnSync(process.execPath, [main, ...args], { cwd: work, encoding: "utf8" });
      assert.match(stderr, told);
      assert.equal(status, 1);
    }
    const doctor = spawnSync(process.execPath, [main, "doctor", saved, "--json"], { cwd: work, encoding: "utf8" });
    assert.match(doctor.stdout, /model\.safetensors\\" is no whole safetensors file/);
  });
});
