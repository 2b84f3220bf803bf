/** What to do with something that was given as a model and is none: the one place that says so. */
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { isHubName } from "./hub-name.js";
import { shorten } from "./values.js";

/** What save_pretrained writes weights into. */
const WEIGHTS = /^(model|pytorch_model)([-.].*)?\.(safetensors|bin)(\.index\.json)?$/;
const LONGEST = 200;

/**
 * Says what to do with a path that is not what it should be: a directory from save_pretrained, a name of the Hugging Face Hub, a
 * model directory where a file is wanted, or nothing.
 * @returns sentences, to be added to an error.
 */
export async function adviceFor(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return isHubName(path.replace(/^\.\//, "")) ? adviceForName(path) : make(path);
  if (found.isDirectory()) {
    const names = await readdir(path).catch((): string[] => []);
    const part = names.find((name) => name.endsWith(".pt"));
    if (part !== undefined) {
      const file = shownPath(join(path, part));
      return `It is a directory with TorchScript files: give NeuronBlip.fromPretrained the directory, or name one file, such as ${file}.`;
    }
    if (names.some((name) => WEIGHTS.test(name))) {
      return adviceForCheckpoint(path);
    }
  } else if (WEIGHTS.test(basename(path))) {
    return adviceForCheckpoint(resolve(path, ".."));
  }
  return "Give the directory that `neuron-blip compile` or the tutorial's trace() wrote.";
}

function adviceForCheckpoint(directory: string): string {
  return (
    `It holds a model's weights, as save_pretrained writes them: give NeuronBlip.fromPretrained the directory ${shownPath(directory)}, and ` +
    `they run on the CPU as they are. For NeuronCores they are compiled: ${compileCommand(directory, `${basename(resolve(directory))}-inf2`, "inf2")}.`
  );
}

/** Says what to do with a model's weights: the one place that says so. */
export function adviceForWeights(model: string, output = `${basename(resolve(model))}-cpu`): string {
  return `A model has to be compiled once: ${compileCommand(model, output)}. Then give the directory ${shownPath(output)}.`;
}

function compileCommand(model: string, output: string, target?: "inf2"): string {
  const command = `npx neuron-blip compile ${shownPath(model)} ${shownPath(output)} --target`;
  return target ? `\`${command} ${target}\`` : `\`${command} cpu\` (--target inf2 for NeuronCores)`;
}

/** Says what to do with what may be meant as a name of the Hub, where none is taken. */
function adviceForName(path: string): string {
  const name = path.replace(/^\.\//, "");
  return (
    `If it is meant as a model of the Hugging Face Hub, NeuronBlip.fromPretrained("${name}") and \`npx neuron-blip ask ${name} …\` fetch it ` +
    "into the cache. If it is meant as a directory, check the path."
  );
}

function make(directory: string): string {
  return `Make one with ${compileCommand("MODEL", directory)}.`;
}

/** Writes a path as a shell takes it. */
function shownPath(path: string): string {
  const text = shorten(path, LONGEST);
  return /^[\w./~@:+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
