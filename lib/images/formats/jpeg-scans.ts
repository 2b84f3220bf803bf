import { checkMarker, damaged } from "./jpeg-marker.js";
import type { JpegComponent, JpegFrame } from "./jpeg-segments.js";

export interface JpegScan {
  readonly components: readonly JpegComponent[];
  /** The coefficients that it stores: 0 to 63. */
  readonly first: number;
  readonly last: number;
  /** How many of their bits were left by the scan before; 0 for the first. */
  readonly bitsBefore: number;
  /** How many of their bits come later; 0 where they are complete now. */
  readonly bitsLeft: number;
  /** Units between restarts; 0 for none. */
  readonly interval: number;
  /** The restarts that were found. */
  readonly restarts: number;
}

export const PROGRESSIVE: ReadonlySet<number> = new Set([0xc2, 0xc6, 0xca, 0xce]);
/** Of a coefficient that no scan has stored. */
const ALL_BITS = 255;
/** So many blocks of a scan may belong together. */
const MOST_BLOCKS = 10;

/**
 * Reads the scans, up to the picture's end.
 * @param start where the first one's marker is
 * @param interval units between restarts, as stated before it
 * @throws Error for what libjpeg, and so Pillow, refuses
 */
export function* readScans(file: Buffer, start: number, frame: JpegFrame, interval: number): Generator<JpegScan> {
  let units = interval;
  let severalScans = PROGRESSIVE.has(frame.marker);
  let scan: (JpegScan & { restarts: number }) | undefined;
  for (let at = start; at >= 0 && at + 1 < file.length; ) {
    const marker = file[at + 1] ?? 0;
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0xd9) break;
    at += 2;
    if (marker >= 0xd0 && marker <= 0xd7) {
      if (scan !== undefined) scan.restarts++;
    } else if (marker > 1) {
      // Where restarts are expected, libjpeg looks for the next one behind such a marker.
      if (marker >= 0xc0 || units === 0) checkMarker(marker);
      if (marker >= 0xc0) {
        if (at + 2 > file.length) break;
        const end = at + Math.max(file.readUInt16BE(at), 2);
        if (end > file.length) break;
        if (marker === 0xdd) units = file.readUInt16BE(at + 2);
        if (marker === 0xda) {
          if (scan !== undefined) yield scan;
          if (scan !== undefined && !severalScans) throw damaged("a second scan of all its components");
          scan = { ...readScan(file.subarray(at, end), frame), interval: units, restarts: 0 };
          if (scan.components.length < frame.components.length) severalScans = true;
        }
        at = end;
      }
    }
    at = file.indexOf(0xff, at);
  }
  if (scan !== undefined) yield scan;
}

function readScan(header: Buffer, { components: all }: JpegFrame): Omit<JpegScan, "interval" | "restarts"> {
  const count = header[2] ?? 0;
  if (count < 1 || count > 4 || header.length !== 6 + 2 * count) throw damaged("a scan's header has a wrong length");
  const components: JpegComponent[] = [];
  for (let i = 0; i < count; i++) {
    // Of several with the same name each once.
    const component = all.find((other) => other.id === header[3 + 2 * i] && !components.includes(other));
    if (component === undefined) throw damaged("a scan names a component that there is not");
    components.push(component);
  }
  const blocks = components.reduce((sum, { across, down }) => sum + across * down, 0);
  if (count > 1 && blocks > MOST_BLOCKS) throw damaged("its components' sampling factors are too large");
  const [first = 0, last = 0, bits = 0] = header.subarray(3 + 2 * count);
  return { components, first, last, bitsBefore: bits >> 4, bitsLeft: bits & 15 };
}

/** What the scans of a sequential or progressive JPEG leave out. */
export class ScanLedger {
  readonly #frame: JpegFrame;
  /** For each coefficient of each component the bits that it lacks. */
  readonly #lacking: ReadonlyMap<JpegComponent, Uint8Array>;
  #hasGaps = false;
  #hasRestarts = false;
  #lacksRestarts = false;
  #count = 0;

  constructor(frame: JpegFrame) {
    this.#frame = frame;
    this.#lacking = new Map(frame.components.map((component) => [component, new Uint8Array(64).fill(ALL_BITS)]));
  }

  add(scan: JpegScan): void {
    const { components, interval, restarts } = scan;
    this.#count++;
    for (const component of components) this.#addTo(component, scan);
    if (interval === 0) return;
    this.#hasRestarts = true;
    if (restarts !== Math.ceil(this.#unitsOf(components) / interval) - 1) this.#lacksRestarts = true;
  }

  #addTo(component: JpegComponent, { first, last, bitsBefore, bitsLeft }: JpegScan): void {
    const lacking = this.#lacking.get(component);
    if (lacking === undefined) throw damaged("a scan names a component that there is not");
    // A sequential scan tells all, whatever its header says.
    if (!PROGRESSIVE.has(this.#frame.marker)) {
      lacking.fill(0);
      return;
    }
    for (let i = first; i <= Math.min(last, 63); i++) {
      // What is told again leaves nothing out.
      const before = lacking[i] ?? ALL_BITS;
      if (before === ALL_BITS ? bitsBefore > 0 : bitsBefore < before) this.#hasGaps = true;
      lacking[i] = bitsLeft;
    }
  }

  /** Says whether some of the picture is not stored in full. */
  get isIncomplete(): boolean {
    if (this.#hasGaps) return true;
    return [...this.#lacking.values()].some((bits) => bits.some((lacking) => lacking > 0));
  }

  get hasRestartsInSeveralScans(): boolean {
    return this.#hasRestarts && this.#count > 1;
  }

  /** Says whether a picture of one scan lacks restarts. */
  get lacksRestarts(): boolean {
    return this.#lacksRestarts && this.#count === 1;
  }

  #unitsOf(components: readonly JpegComponent[]): number {
    const { width, height } = this.#frame;
    if (components.length === 1) return Math.ceil(width / 8) * Math.ceil(height / 8);
    const across = Math.max(...this.#frame.components.map((component) => component.across));
    const down = Math.max(...this.#frame.components.map((component) => component.down));
    return Math.ceil(width / (8 * across)) * Math.ceil(height / (8 * down));
  }
}
