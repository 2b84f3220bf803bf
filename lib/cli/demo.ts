import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Answer } from "../index.js";
import { NeuronBlip } from "../neuron-blip.js";
import { type DemoAnswer, demoPage } from "./demo-page.js";
import { checkOutput, print, say, writeOutput } from "./output.js";
import { command, UsageError } from "./usage.js";

const HELP = `Asks the small bundled model about the bundled pictures, and writes a page that shows them with the answers.

Usage: neuron-blip demo [options]

  --output FILE   where the page goes (default: neuron-blip-demo.html)
  --json          print one JSON object per answer
  --help          print this

Exit codes: 0 done, 1 failed, 2 wrong arguments.

The model is a small BLIP that knows scenes of coloured shapes and nothing else: see CONTRIBUTING.md, "The demo model".`;

const demoDirectory = fileURLToPath(new URL("../../demo", import.meta.url));

/** Runs `neuron-blip demo`. */
export const run = command(HELP, { output: "string", json: "boolean" }, async ({ values, positionals }) => {
  if (positionals.length > 0) throw new UsageError(`demo takes no "${positionals[0]}". \`--help\` lists its options.`);
  const asked: { picture: string; question: string; answer: string }[] = JSON.parse(
    await readFile(join(demoDirectory, "questions.json"), "utf8"),
  );

  const output = values.output ?? "neuron-blip-demo.html";
  await checkOutput(output);
  await using blip = await NeuronBlip.fromPretrained(join(demoDirectory, "model"));
  const answers: DemoAnswer[] = [];
  for (const { picture, question, answer: expected } of asked) {
    const path = join(demoDirectory, picture);
    const { answer, milliseconds } = await timed(() => blip.answer(path, question));
    answers.push({ path, question, expected, answer: answer.answer, score: answer.score, milliseconds });
    const shown = relative(process.cwd(), path);
    if (values.json) {
      print(JSON.stringify({ path: shown, question, answer: answer.answer, score: answer.score, milliseconds }));
    } else {
      const cells = [shown.padEnd(36), question.padEnd(38), answer.answer.padEnd(36), answer.score.toFixed(3)];
      print(`${cells.join("  ")}  ${milliseconds.toFixed(0).padStart(4)} ms`);
    }
  }
  const right = answers.filter(({ answer, expected }) => answer === expected).length;
  await writeOutput(output, await demoPage(answers));
  // Of the JSON only answers go to the standard output.
  const tell = values.json ? say : print;
  tell(`\n${right} of ${answers.length} answers are right. To look at them, open ${output} in a browser.`);
  return 0;
});

async function timed(ask: () => Promise<Answer>): Promise<{ answer: Answer; milliseconds: number }> {
  const start = performance.now();
  const answer = await ask();
  return { answer, milliseconds: performance.now() - start };
}
