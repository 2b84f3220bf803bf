import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { type Change, compareDtypes } from "../tools/compare/compare-dtypes.js";
import { HUB_ARGUMENTS, hubHelp, hubOptions, orHubName } from "./hub-arguments.js";
import { print, say } from "./output.js";
import { command, count, switches, texts, UsageError } from "./usage.js";

const HELP = `Says what a number type changes: asks a checkpoint the same questions about the same pictures in float32 and in others, and
tells how many answers are the same, which are not, and how long each takes.

Usage: neuron-blip compare MODEL PICTURE… --question "…" [options]

  MODEL    a checkpoint's directory, whose model answers questions or captions pictures;
${orHubName(11)}
  PICTURE  files, or directories of them: a hundred or more tell most

  --question TEXT  asked of every picture; give it for each; none for a model that captions
  --dtype TYPE     bfloat16 or int8 (default: both)
  --threads N      cores of the CPU (default: all)
  --least SHARE    exit with 1 where a smaller share of the answers is the same, such as 0.995
${hubHelp(17)}
  --json           print one JSON object per number type: {dtype, texts, agreement, changes, msOfPicture, msOfAnswers}
  --help           print this

Exit codes: 0 done, 1 failed or below --least, 2 wrong arguments.`;

const OPTIONS = {
  ...texts("dtype", "threads", "least"),
  ...switches("json"),
  ...HUB_ARGUMENTS,
  question: "strings",
} as const;

const PICTURES = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif", ".bmp"];

/** Runs `neuron-blip compare`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [model, ...given] = positionals;
  if (model === undefined || given.length === 0) {
    throw new UsageError("compare takes a model and at least one picture. `neuron-blip compare --help` tells more.");
  }
  const least = shareOf(values.least);
  const options = {
    dtypes: dtypesOf(values.dtype),
    questions: values.question ?? [],
    threads: count("threads", values.threads),
    hub: hubOptions(values),
    say: (line: string) => say(`neuron-blip: ${line}`),
  };
  const pictures = (await Promise.all(given.map(picturesIn))).flat();
  const all = await compareDtypes(model, pictures, options);
  const [reference] = all;
  for (const { changes, ...result } of all) {
    if (values.json) {
      print(JSON.stringify({ ...result, changes }));
      continue;
    }
    const { dtype, texts, agreement, msOfPicture, msOfAnswers } = result;
    const times = [
      `${msOfPicture.toFixed(0)} ms a picture${ratio(msOfPicture, reference?.msOfPicture)}`,
      `${msOfAnswers.toFixed(0)} ms for its ${values.question ? "answers" : "caption"}${ratio(msOfAnswers, reference?.msOfAnswers)}`,
    ];
    const same = `${texts - changes.length} of ${texts} the same (${(100 * agreement).toFixed(2)} %)`;
    print(`${dtype.padEnd(9)} ${dtype === "float32" ? `${texts} texts` : same}; ${times.join(", ")}`);
    for (const change of changes) print(`          ${inWords(change)}`);
  }
  return all.some(({ agreement }) => agreement < least) ? 1 : 0;
});

function ratio(ms: number, reference: number | undefined): string {
  return reference === undefined || reference === ms ? "" : ` (${(ms / reference).toFixed(2)} of float32's)`;
}

function inWords({ picture, question, before, scoreBefore, after, scoreAfter }: Change): string {
  const asked = question === undefined ? "" : ` ${question}`;
  return `${picture}${asked} ${before} (${scoreBefore.toFixed(3)}) -> ${after} (${scoreAfter.toFixed(3)})`;
}

function dtypesOf(text: string | undefined): readonly ("bfloat16" | "int8")[] {
  if (text === undefined) return ["bfloat16", "int8"];
  if (text === "bfloat16" || text === "int8") return [text];
  throw new UsageError(`--dtype takes bfloat16 or int8, not "${text.slice(0, 100)}".`);
}

function shareOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^(0(\.\d+)?|1(\.0+)?)$/.test(text)) return Number(text);
  throw new UsageError(`--least takes a share from 0 to 1, not "${text.slice(0, 100)}".`);
}

/** Lists the pictures of a directory by their names' ends, in order; a file is one. */
async function picturesIn(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => PICTURES.includes(extname(name).toLowerCase())).sort();
  if (names.length === 0) throw new UsageError(`There are no pictures in "${path}".`);
  return names.map((name) => join(path, name));
}
