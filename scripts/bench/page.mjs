// The benchmark's results as one HTML page, which needs no network.

import { escapeHtml } from "../../dist/tools/report/plots.js";
import { STYLE } from "../../dist/tools/report/style.js";
import { spread } from "./rounds.mjs";
import { barWords, figure, NOTES, TITLES } from "./words.mjs";

/** @typedef {import("./rounds.mjs").Result} Result */

const OWN_STYLE = `
  svg .ours { fill: var(--good); }
  svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
  svg text.task { fill: var(--ink); font-weight: 600; text-anchor: start; }
`;

/** @param {import("./report.mjs").Report} report */
export function page(report) {
  const { bars, results, machine, versions, settings, agreement } = report;
  const unmet = bars.filter(({ met }) => !met).length;
  const verdict = unmet === 0 ? "All bars that were measured are met" : `${unmet} of ${bars.length} bars are not met`;
  const sections = [...new Set(results.map(({ section }) => section))];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>neuron-blip: benchmark</title>
<style>${STYLE}${OWN_STYLE}</style>
<h1>Benchmark of neuron-blip</h1>
<p class="verdict ${unmet === 0 ? "pass" : "fail"}">${verdict}.</p>
<p>${escapeHtml(machine)}. ${escapeHtml(settings)} Begun ${escapeHtml(report.startedAt.slice(0, 16).replace("T", " "))} UTC. Medians, with quartiles; all
competitors took turns in one run.</p>
<section><h2>Bars</h2>
${table(["", "bar", "measured", "quartiles", ""], bars.map(barWords))}
</section>
${sections.map((section) => sectionHtml(section, results)).join("\n")}
<section><h2>Equal answers</h2><p>${escapeHtml(agreement)}</p></section>
<section><h2>Versions</h2>${table(
    [],
    Object.entries(versions).map(([name, version]) => [name, version]),
  )}</section>
</html>
`;
}

/** @param {string} section @param {readonly Result[]} results */
function sectionHtml(section, results) {
  const own = results.filter((result) => result.section === section);
  const rows = own.map(({ task, competitor, unit, samples }) => {
    const { median, low, high } = spread(samples);
    return [task, competitor, `${figure(median)} ${unit}`, `${figure(low)} to ${figure(high)}`, String(samples.length)];
  });
  return `<section><h2>${escapeHtml(TITLES[section] ?? section)}</h2>
<p>${escapeHtml(NOTES[section] ?? "")}</p>
${plot(own, TITLES[section] ?? section)}
<details><summary>Figures</summary>${table(["", "", "median", "quartiles", "rounds"], rows)}</details>
</section>`;
}

const WIDTH = 720;
const NAMES_WIDTH = 190;
const FIGURE_WIDTH = 90;
const ROW = 22;
const GAP = 30;

/**
 * A horizontal bar for each competitor, task by task, with a whisker from quartile to quartile.
 * @param {readonly Result[]} results of one unit @param {string} label
 */
function plot(results, label) {
  const shapes = [];
  let y = 0;
  for (const task of new Set(results.map((result) => result.task))) {
    const own = results.filter((result) => result.task === task);
    const spreads = own.map(({ samples }) => spread(samples));
    // Each task has a scale of its own: a decoder step would not show beside a whole answer.
    const longest = Math.max(...spreads.map(({ high }) => high), Number.MIN_VALUE);
    /** @param {number} value */
    const x = (value) => (NAMES_WIDTH + (value / longest) * (WIDTH - NAMES_WIDTH - FIGURE_WIDTH)).toFixed(1);
    shapes.push(`<text class="task" x="0" y="${y + 18}">${escapeHtml(task)}</text>`);
    y += GAP;
    for (const [i, { competitor, unit }] of own.entries()) {
      const { median, low, high } = /** @type {ReturnType<typeof spread>} */ (spreads[i]);
      const width = Math.max(0, Number(x(median)) - NAMES_WIDTH).toFixed(1);
      const middle = y + ROW / 2;
      shapes.push(
        `<text class="left" x="${NAMES_WIDTH - 8}" y="${middle + 4}">${escapeHtml(competitor)}</text>`,
        `<rect class="bar${competitor.startsWith("ours") ? " ours" : ""}" x="${NAMES_WIDTH}" y="${y + 3}" width="${width}" height="${ROW - 6}"/>`,
        `<line class="whisker" x1="${x(low)}" y1="${middle}" x2="${x(high)}" y2="${middle}"/>`,
        `<text class="value start" x="${Number(x(Math.max(median, high))) + 6}" y="${middle + 4}">${figure(median)} ${unit}</text>`,
      );
      y += ROW;
    }
  }
  return `<svg viewBox="0 0 ${WIDTH} ${y + 8}" role="img" aria-label="${escapeHtml(label)}">\n${shapes.join("\n")}\n</svg>`;
}

/** @param {readonly string[]} heads @param {readonly (readonly string[])[]} rows */
function table(heads, rows) {
  const head =
    heads.length > 0 ? `<thead><tr>${heads.map((text) => `<th>${escapeHtml(text)}</th>`).join("")}</tr></thead>` : "";
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`).join("\n");
  return `<div class="scroll"><table class="${heads.length > 0 ? "figures" : "list"}">${head}<tbody>${body}</tbody></table></div>`;
}
