import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type Html, html, page } from "../tools/report/page.js";

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

const STYLE = `
  body { max-width: 76rem; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem; }
  figure { margin: 0; padding: 1rem; background: var(--paper); border: 1px solid var(--line); border-radius: .75rem; }
  img { display: block; margin: 0 auto; border-radius: .5rem; }
  figcaption { color: var(--soft); font-size: .85rem; margin: .5rem 0; text-align: center; }
  table { width: 100%; }
  .answer { font-weight: 600; }
  .aside { color: var(--soft); font-size: .8rem; text-align: right; white-space: nowrap; }
  .wrong { color: var(--bad); }
`;

/** Makes an HTML page, complete in itself, that shows pictures with their answers. */
export async function demoPage(answers: readonly DemoAnswer[]): Promise<string> {
  const paths = [...new Set(answers.map(({ path }) => path))];
  const figures = paths.map(async (path) => {
    const picture = (await readFile(path)).toString("base64");
    const rows = answers.filter((answer) => answer.path === path).map(row);
    return html`<figure>
  <img src="data:image/png;base64,${picture}" alt="${basename(path)}" width="288" height="288">
  <figcaption>${basename(path)}</figcaption>
  <table>${rows}</table>
</figure>`;
  });
  return page({
    title: "the demo's answers",
    heading: "What the demo model answered",
    lead: `A small BLIP, run inside Node.js by neuron-blip. It knows scenes of coloured shapes and nothing else. The score is the
answer's probability; the time is that of the whole call, picture decoding included.`,
    sections: [html`<main>\n${await Promise.all(figures)}\n</main>`],
    style: STYLE,
  });
}

function row({ question, expected, answer, score, milliseconds }: DemoAnswer): Html {
  const wrong = answer === expected ? "" : html` <span class="wrong">(it is: ${expected})</span>`;
  return html`<tr><td>${question}<br><span class="answer">${answer}</span>${wrong}</td>
<td class="aside">${score.toFixed(3)}<br>${milliseconds.toFixed(0)} ms</td></tr>`;
}
