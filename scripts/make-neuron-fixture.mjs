// Writes test/fixtures/neuron: one small model of random weights, compiled for the CPU and, by the tests' stand-in for
// torch_neuronx, for inf2. NEURON_BLIP_PYTHON names a Python with torch and transformers: scripts/test-parity.mjs has one, and runs
// this too.
//   NEURON_BLIP_PYTHON=python node scripts/make-neuron-fixture.mjs
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildStandIns } from "./addon/build-stand-ins.mjs";
import { run, runMain, SetupError } from "./addon/host.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MODEL = "--seed 1 --width 16 --feed-forward 32 --vision-layers 1 --text-layers 1".split(" ");
/** Each with its target and further options. */
const MODELS = [
  ["cpu", "cpu"],
  ["inf2", "inf2"],
  ["inf2-greedy", "inf2", "--greedy-tokens", "4"],
];
const LENGTHS = "--question-length 12 --answer-length 12".split(" ");

/**
 * @param {string} python has torch and transformers
 * @param {string} [directory] where to write
 * @throws {SetupError} where a step fails
 */
export async function makeNeuronFixture(python, directory = join(root, "test", "fixtures", "neuron")) {
  await buildStandIns();
  const scratch = mkdtempSync(join(tmpdir(), "neuron-blip-fixture-"));
  const hardware = join(scratch, "stand-in");
  mkdirSync(hardware);
  const env = {
    ...process.env,
    PYTHONPATH: join(root, "test", "stand-ins", "python"),
    NEURON_BLIP_STAND_IN: hardware,
  };
  /** @param {string[]} args */
  const step = async (script = "", ...args) => {
    const command = [join(root, "scripts", script), ...args];
    const code = await run(python, command, { env, stdio: ["ignore", "ignore", "inherit"] });
    if (code !== 0) throw new SetupError(`${script} failed.`);
  };
  try {
    await step("make_fixtures.py", scratch, "--shapes", "small", ...MODEL);
    rmSync(directory, { recursive: true, force: true });
    for (const [name = "", target = "", ...options] of MODELS) {
      const out = join(directory, name);
      await step(
        "trace.py",
        join(scratch, "small"),
        out,
        "--target",
        target,
        ...LENGTHS,
        ...options,
        "--log-dir",
        join(scratch, "logs"),
      );
      for (const spare of [".compiling.lock", "reference.safetensors"]) rmSync(join(out, spare), { force: true });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await makeNeuronFixture(process.env.NEURON_BLIP_PYTHON ?? "python3");
  });
}
