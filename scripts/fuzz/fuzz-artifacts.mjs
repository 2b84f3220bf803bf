// Loads and runs mutated TorchScript files and model directories through the public API, in child processes: none may end the process,
// fail with an untyped error or one of more than 1,000 characters, take more than 10 s, or 2 GB.
// Arguments: --seed N (default 1), --count N (3000), --from N (0): the first, --only N: that one alone, --sealed: change records of
// TorchScript files and give them their new checksums, which is what no check of damage can tell from a stranger's program: some then
// take all the memory or time that they ask for (with seed 1 those at 1281 and 1615), as docs/security.md warns.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { NeuronBlip, Tensor, TorchModule } from "neuron-blip";
import { runMain } from "../addon/host.mjs";
import { fuzz } from "./children.mjs";
import { mutateJson, mutateModule } from "./mutate.mjs";

/** @typedef {import("./mutate.mjs").Dice} Dice */

const fixtures = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "test/fixtures");

/** Small modules whose forward ends. */
const MODULES = readdirSync(join(fixtures, "modules"))
  .filter((name) => name.endsWith(".pt") && !["endless.pt", "slow.pt", "temporaries.pt"].includes(name))
  .map((name) => join(fixtures, "modules", name));
const DIRECTORIES = ["neuron/cpu", "parity/tutorial/model", "parity/captions/model"].map((name) =>
  join(fixtures, name),
);
const PARTS = DIRECTORIES.flatMap((directory) =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".pt"))
    .map((name) => join(directory, name)),
);
const PICTURE = join(fixtures, "pictures/chelsea.png");

/** @returns {[string, () => Promise<void>]} */
function mutatedModule(/** @type {Dice} */ dice, /** @type {string} */ work, /** @type {boolean} */ seals) {
  const source = dice.pick(dice.below(4) === 0 ? PARTS : MODULES);
  const { how, bytes } = mutateModule(readFileSync(source), dice, readFileSync(dice.pick(MODULES)), seals);
  const path = join(work, basename(source));
  writeFileSync(path, bytes);
  return [`${how} of ${basename(dirname(source))}/${basename(source)}`, () => runModule(path)];
}

async function runModule(/** @type {string} */ path) {
  const module = await TorchModule.load(path);
  try {
    const inputs = module.signature.inputs.map(({ type }) => inputOf(type, basename(path)));
    await module.forward(inputs);
  } finally {
    await module.dispose();
  }
}

/**
 * @param {string} type
 * @param {string} name of the file, which says what tensors it takes
 * @returns {import("neuron-blip").TorchInput}
 */
function inputOf(type, name) {
  if (type === "Tensor" || type === "Optional[Tensor]") {
    return Tensor.zeros("float32", name === "resnet.pt" ? [1, 3, 32, 32] : [2, 3]);
  }
  if (type.startsWith("List")) return [];
  if (type.startsWith("Dict")) return {};
  if (type.startsWith("Tuple")) return [1, "x"];
  if (type === "str" || type === "Device") return "cpu";
  return type === "bool" ? true : 3;
}

/** @returns {[string, () => Promise<void>]} */
function mutatedDirectory(/** @type {Dice} */ dice, /** @type {string} */ work) {
  const source = dice.pick(DIRECTORIES);
  const directory = join(work, "model");
  cpSync(source, directory, { recursive: true });
  const extension = dice.below(4) === 0 ? ".pt" : ".json";
  const name = dice.pick(readdirSync(directory).filter((file) => file.endsWith(extension)));
  const file = readFileSync(join(directory, name));
  const { how, bytes } = name.endsWith(".pt") ? mutateModule(file, dice, file, false) : mutateJson(file, dice);
  writeFileSync(join(directory, name), bytes);
  return [
    `${how} of ${name} in ${source.slice(fixtures.length + 1)}`,
    () => runModel(directory, basename(dirname(source))),
  ];
}

async function runModel(/** @type {string} */ directory, /** @type {string} */ kind) {
  const tokenizer = kind === "tutorial" ? { tokenizer: join(fixtures, "parity/captions/model") } : {};
  const blip = await NeuronBlip.fromPretrained(directory, { threads: 1, ...tokenizer });
  try {
    if (kind === "captions") await blip.caption(PICTURE, { maxNewTokens: 2 });
    else await blip.answer(PICTURE, "what is it?", { maxNewTokens: 2 });
  } finally {
    await blip.dispose();
  }
}

await runMain(() =>
  fuzz(import.meta.url, "mutated artifacts", ["sealed"], (dice, work, flags) => {
    const seals = flags.includes("sealed");
    return !seals && dice.below(3) === 0 ? mutatedDirectory(dice, work) : mutatedModule(dice, work, seals);
  }),
);
