import { readFile } from "node:fs/promises";
import { basename } from "node:path";

export interface DemoAnswer {
  /** The picture's file. */
  path: string;
  question: string;
  /** What is true of the picture. */
  expected: string;
  answer: string;
  score: number;
  milliseconds: number;
}

/** An HTML page, complete in itself, that shows pictures with their answers. */
export async function demoPage(answers: readonly DemoAnswer[]): Promise<string> {
  const cards: string[] = [];
  for (const path of new Set(answers.map((answer) => answer.path))) {
    const picture = (await readFile(path)).toString("base64");
    const rows = answers.filter((answer) => answer.path === path).map(row);
    cards.push(`<figure>
  <img src="data:image/png;base64,${picture}" alt="${escapeHtml(basename(path))}" width="288" height="288">
  <figcaption>${escapeHtml(basename(path))}</figcaption>
  <table>${rows.join("")}</table>
</figure>`);
  }
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>neuron-blip: the demo's answers</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1c2024; background: #fafafa; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem; }
  figure { margin: 0; padding: 1rem; background: #fff; border: 1px solid #ddd; border-radius: .75rem; }
  img { display: block; margin: 0 auto; image-rendering: auto; border-radius: .5rem; }
  figcaption { color: #666; font-size: .85rem; margin: .5rem 0; text-align: center; }
  table { width: 100%; border-collapse: collapse; }
  td { padding: .35rem .25rem; border-top: 1px solid #eee; vertical-align: top; }
  .answer { font-weight: 600; }
  .figures { color: #666; font-size: .8rem; text-align: right; white-space: nowrap; }
  .wrong { color: #b3261e; }
</style>
<h1>What the demo model answered</h1>
<p>A small BLIP, run inside Node.js by neuron-blip. It knows scenes of coloured shapes and nothing else. The score is the
answer's probability; the time is that of the whole call, picture decoding included.</p>
<main>
${cards.join("\n")}
</main>
</html>
`;
}

function row({ question, expected, answer, score, milliseconds }: DemoAnswer): string {
  const wrong = answer === expected ? "" : ` <span class="wrong">(it is: ${escapeHtml(expected)})</span>`;
  return `<tr><td>${escapeHtml(question)}<br><span class="answer">${escapeHtml(answer)}</span>${wrong}</td>
<td class="figures">${score.toFixed(3)}<br>${milliseconds.toFixed(0)} ms</td></tr>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
