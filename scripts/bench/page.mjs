// The benchmark's results as one HTML page, which needs no network.
import { begun, html, page as pageOf, section, table } from "../../dist/tools/report/page.js";
import { spread } from "./rounds.mjs";
import { barWords, figure, LIMITS_NOTE, NOTES, shareWords, TITLES } from "./words.mjs";

/** @typedef {import("./rounds.mjs").Result} Result */

const OWN_STYLE = `
  svg .ours { fill: var(--good); }
  svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
  svg text.task { fill: var(--ink); font-weight: 600; text-anchor: start; }
`;

/** @param {import("./report.mjs").Report} report */
export function page(report) {
  const { bars, shares, results, machine, versions, settings, agreement, startedAt } = report;
  const unmet = bars.filter(({ met }) => !met).length;
  const verdict = unmet === 0 ? "All bars that were measured are met" : `${unmet} of ${bars.length} bars are not met`;
  return pageOf({
    title: "benchmark",
    heading: "Benchmark of neuron-blip",
    verdict: { status: unmet === 0 ? "pass" : "fail", words: `${verdict}.` },
    lead: `${machine}. ${settings} ${begun(startedAt)}. Medians, with quartiles; all competitors took turns in one run.`,
    sections: [
      section("Bars", table(["", "bar", "measured", "quartiles", ""], bars.map(barWords))),
      ...(shares.length > 0 ? [limitsHtml(shares)] : []),
      ...[...new Set(results.map(({ section }) => section))].map((name) => sectionHtml(name, results)),
      section("Equal answers", html`<p>${agreement}</p>`),
      section("Versions", table([], Object.entries(versions))),
    ],
    style: OWN_STYLE,
  });
}

/** @param {readonly import("./limits.mjs").Share[]} shares */
function limitsHtml(shares) {
  const figures = table(["", "", "measured", "limit", "of the limit"], shares.map(shareWords));
  return section("Of the machine's limit", html`<p>${LIMITS_NOTE}</p>`, figures);
}

/** @param {string} name @param {readonly Result[]} results */
function sectionHtml(name, results) {
  const own = results.filter((result) => result.section === name);
  const rows = own.map(({ task, competitor, unit, samples }) => {
    const { median, low, high } = spread(samples);
    return [task, competitor, `${figure(median)} ${unit}`, `${figure(low)} to ${figure(high)}`, samples.length];
  });
  const title = TITLES[name] ?? name;
  const figures = table(["", "", "median", "quartiles", "rounds"], rows);
  return section(
    title,
    html`<p>${NOTES[name] ?? ""}</p>`,
    plot(own, title),
    html`<details><summary>Figures</summary>${figures}</details>`,
  );
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
    shapes.push(html`<text class="task" x="0" y="${y + 18}">${task}</text>`);
    y += GAP;
    for (const [i, { competitor, unit }] of own.entries()) {
      const { median, low, high } = /** @type {ReturnType<typeof spread>} */ (spreads[i]);
      const width = Math.max(0, Number(x(median)) - NAMES_WIDTH).toFixed(1);
      const middle = y + ROW / 2;
      shapes.push(
        html`<text class="left" x="${NAMES_WIDTH - 8}" y="${middle + 4}">${competitor}</text>`,
        html`<rect class="bar${competitor.startsWith("ours") ? " ours" : ""}" x="${NAMES_WIDTH}" y="${y + 3}" width="${width}" height="${ROW - 6}"/>`,
        html`<line class="whisker" x1="${x(low)}" y1="${middle}" x2="${x(high)}" y2="${middle}"/>`,
        html`<text class="value start" x="${Number(x(Math.max(median, high))) + 6}" y="${middle + 4}">${figure(median)} ${unit}</text>`,
      );
      y += ROW;
    }
  }
  return html`<svg viewBox="0 0 ${WIDTH} ${y + 8}" role="img" aria-label="${label}">\n${shapes}\n</svg>`;
}
