/** A line on a terminal that shows how far a transfer, or other long work, is. */
import type { DownloadProgress } from "./hub-progress.js";

/** What is needed of a terminal: process.stderr. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** The least columns for which a bar is drawn beside the figures. */
const LEAST_BAR = 10;
const MOST_BAR = 30;
const DEFAULT_COLUMNS = 80;
/** The part of the time, in seconds, over which the speed is smoothed. */
const SMOOTHING_S = 3;

/** Shows how far a transfer is in one line that is written over; `end` leaves it as it stands. */
export class ProgressBar {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #amount: (amount: number) => string;
  #last: { at: number; loaded: number } | undefined;
  #speed: number | undefined;
  #drawn = false;

  /**
   * @param now milliseconds, of a clock that does not jump.
   * @param amount writes how much is done, and how much a second, in its unit.
   */
  constructor(terminal: Terminal, now: () => number = () => performance.now(), amount = inBytes) {
    this.#terminal = terminal;
    this.#now = now;
    this.#amount = amount;
  }

  update({ model, file, loaded, total }: Pick<DownloadProgress, "model" | "file" | "loaded" | "total">): void {
    this.#measure(loaded);
    const speed = this.#speed;
    const percent = total === 0 ? 100 : Math.floor((100 * loaded) / total);
    const figures = [
      `${String(percent).padStart(3)} %`,
      `${this.#amount(loaded)} of ${this.#amount(total)}`,
      ...(speed ? [`${this.#amount(speed)}/s`, `${inTime((total - loaded) / speed)} left`] : []),
    ].join("  ");
    // One column less than there are: a full line would wrap.
    const room = (this.#terminal.columns || DEFAULT_COLUMNS) - 1;
    const names = [`${model}  ${file}`, model, ""].find((text) => text.length + figures.length + LEAST_BAR + 6 <= room);
    const width = Math.min(MOST_BAR, room - (names ?? "").length - figures.length - 6);
    const bar = width < LEAST_BAR ? "" : `[${"=".repeat(Math.floor((width * percent) / 100)).padEnd(width)}]`;
    const line = [names, bar, figures].filter(Boolean).join("  ").slice(0, room);
    this.#terminal.write(`\r${line}\x1b[K`);
    this.#drawn = true;
  }

  /** Leaves the line, so that what follows stands below it. */
  end(): void {
    if (this.#drawn) this.#terminal.write("\n");
    this.#drawn = false;
  }

  #measure(loaded: number): void {
    const at = this.#now();
    const last = this.#last;
    // What an earlier attempt has left arrives at once, and says nothing of the speed.
    if (!last || loaded < last.loaded) this.#last = { at, loaded };
    const seconds = last ? (at - last.at) / 1000 : 0;
    if (!last || seconds < 0.2) return;
    const speed = (loaded - last.loaded) / seconds;
    const weight = Math.min(1, seconds / SMOOTHING_S);
    this.#speed = this.#speed === undefined ? speed : this.#speed + weight * (speed - this.#speed);
    this.#last = { at, loaded };
  }
}

/** Writes a number of bytes, such as "1.54 GB". */
export function inBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** Writes a time, such as "1:05". */
export function inTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return "…";
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  const pad = (value: number) => String(value).padStart(2, "0");
  return minutes < 60
    ? `${minutes}:${pad(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
}
