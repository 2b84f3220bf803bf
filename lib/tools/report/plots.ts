/** Plots as SVG. Colours are the page's CSS. */
import { type Html, html } from "./page.js";

export interface PlotText {
  /** For those who hear the page. */
  readonly label: string;
  /** Below the horizontal axis, with its unit. */
  readonly x: string;
  /** Above the vertical axis, with its unit. */
  readonly y: string;
}

const WIDTH = 640;
const HEIGHT = 280;
const LEFT = 64;
const RIGHT = WIDTH - 24;
const TOP = 34;
const BOTTOM = HEIGHT - 48;

/** Draws bars that touch: how often values of each range came. */
export function histogramPlot(text: PlotText, from: number, to: number, counts: readonly number[]): Html {
  const y = scaleOf(0, Math.max(5, ...counts), BOTTOM, TOP);
  const [low, high] = to > from ? [from, to] : [from * 0.9, from * 1.1 || 1];
  const x = scaleOf(low, high, LEFT, RIGHT, false);
  const width = (RIGHT - LEFT) / counts.length;
  const bars = counts.map((count, i) => bar(LEFT + i * width + 0.5, Math.max(0.5, width - 1), y.at(count)));
  return plot(text, [...yAxis(y), ...xAxis(x), ...bars]);
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** Written above the bar. */
  readonly words: string;
  /** A mark to compare the bar with. */
  readonly target?: number;
}

/** Draws a bar for each of a few things. */
export function barPlot(text: PlotText, bars: readonly Bar[]): Html {
  const y = scaleOf(0, Math.max(...bars.flatMap(({ value, target = 0 }) => [value, target])), BOTTOM, TOP);
  const slot = (RIGHT - LEFT) / bars.length;
  const width = Math.min(80, slot * 0.6);
  const shapes = bars.flatMap(({ name, value, words, target }, i) => {
    const middle = LEFT + (i + 0.5) * slot;
    const [from, to] = [middle - width / 2 - 8, middle + width / 2 + 8];
    return [
      bar(middle - width / 2, width, y.at(value)),
      ...(target === undefined ? [] : [line("target", from, y.at(target), to, y.at(target))]),
      write("value", middle, Math.max(TOP + 12, y.at(value) - 6), words),
      write("tick", middle, BOTTOM + 18, name),
    ];
  });
  return plot(text, [...yAxis(y), ...shapes]);
}

/** Draws a line through points. The vertical axis does not begin at 0, so that small changes show. */
export function linePlot(text: PlotText, points: readonly (readonly [x: number, y: number])[]): Html {
  const ys = points.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  // At least a twentieth of the value is shown, or noise would fill the plot.
  const room = Math.max((high - low) * 0.1, high * 0.025);
  const x = scaleOf(0, Math.max(...points.map(([x]) => x)), LEFT, RIGHT, false);
  const y = scaleOf(Math.max(0, low - room), high + room, BOTTOM, TOP);
  const path = points.map(([px, py], i) => `${i === 0 ? "M" : "L"}${round(x.at(px))} ${round(y.at(py))}`).join("");
  return plot(text, [...yAxis(y), ...xAxis(x), html`<path class="line" d="${path}"/>`]);
}

interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** Makes the scale of an axis. @param rounded whether it goes on to the next tick. */
function scaleOf(low: number, high: number, from: number, to: number, rounded = true): Scale {
  const step = niceStep((high - low || 1) / 5);
  const first = rounded ? Math.floor(low / step) * step : low;
  const last = rounded ? Math.max(first + step, Math.ceil(high / step) * step) : Math.max(high, low + 1e-9);
  const ticks: number[] = [];
  for (let i = Math.ceil(first / step - 1e-9); i * step <= last + step * 1e-9; i++) ticks.push(i * step);
  return { at: (value) => from + ((value - first) / (last - first)) * (to - from), ticks };
}

/** Rounds a step up to 1, 2 or 5 times a power of ten. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5].find((lead) => step / power <= lead) ?? 10);
}

function yAxis({ ticks, at }: Scale): Html[] {
  return ticks.flatMap((tick) => [
    line("grid", LEFT, at(tick), RIGHT, at(tick)),
    write("tick left", LEFT - 8, at(tick) + 4, numberWords(tick)),
  ]);
}

function xAxis({ ticks, at }: Scale): Html[] {
  return ticks.flatMap((tick) => [
    line("axis", at(tick), BOTTOM, at(tick), BOTTOM + 4),
    write("tick", at(tick), BOTTOM + 18, numberWords(tick)),
  ]);
}

function plot({ label, x, y }: PlotText, shapes: readonly Html[]): Html {
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
${shapes}
${line("axis", LEFT, BOTTOM, RIGHT, BOTTOM)}
${write("name", (LEFT + RIGHT) / 2, HEIGHT - 8, x)}
${write("name start", 8, 16, y)}
</svg>`;
}

/** Draws a bar that stands on the horizontal axis. */
function bar(x: number, width: number, top: number): Html {
  const height = round(BOTTOM - top);
  return html`<rect class="bar" x="${round(x)}" y="${round(top)}" width="${round(width)}" height="${height}"/>`;
}

function line(name: string, x1: number, y1: number, x2: number, y2: number): Html {
  return html`<line class="${name}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}

function write(name: string, x: number, y: number, text: string): Html {
  return html`<text class="${name}" x="${round(x)}" y="${round(y)}">${text}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function numberWords(value: number): string {
  return String(Number(value.toPrecision(6)));
}
