import { checkMarker } from "./jpeg-marker.js";

export interface JpegComponent {
  readonly id: number;
  /** Its samples in a unit of the picture, across and down: 1 to 4. */
  readonly across: number;
  readonly down: number;
}

export interface JpegFrame {
  readonly marker: number;
  readonly bits: number;
  readonly width: number;
  readonly height: number;
  readonly components: readonly JpegComponent[];
}

/** What stands before a JPEG's pixels. */
export interface JpegSegments {
  readonly frame: JpegFrame;
  /** Whether it says that it is JFIF, whatever version. */
  readonly jfif: boolean;
  /** The transform in Adobe's marker; undefined without one. */
  readonly adobe: number | undefined;
  readonly exif: Buffer | undefined;
  readonly xmp: Buffer | undefined;
  /** Where the first scan's header begins: at its marker. */
  readonly scan: number;
  /** Units between restarts; 0 for none. */
  readonly interval: number;
  /**
   * A copy with nothing before the pixels that they do not need: no stray bytes, no profile, no second picture's directory, and of
   * the markers that name a colour model the one that counts.
   */
  readonly essence: Buffer;
}

/** JPG and DAC, DHT are no frame headers. */
const NOT_FRAMES: ReadonlySet<number> = new Set([0xc4, 0xc8, 0xcc]);
/** A segment that says no more than that samples are CMYK, as they are without it. */
const ADOBE_CMYK = Buffer.from("\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0", "latin1");
const EXIF_HEADER = "Exif\0\0";
const XMP_HEADER = "http://ns.adobe.com/xap/1.0/\0";

/**
 * Reads the segments before the first scan, passing over stray bytes as Pillow does.
 * @throws Error that says what is wrong; RangeError where the file ends too early
 */
export function readJpegSegments(file: Buffer): JpegSegments {
  let frame: JpegFrame | undefined;
  let jfif: Buffer | undefined;
  let adobe: Buffer | undefined;
  let exif: Buffer | undefined;
  let xmp: Buffer | undefined;
  let interval = 0;
  const kept: Buffer[] = [];
  let offset = 2;
  for (;;) {
    while (file.readUInt8(offset) !== 0xff) offset++;
    while (file.readUInt8(offset) === 0xff) offset++;
    const marker = file.readUInt8(offset++);
    if (marker === 0xda) break;
    // Escaped bytes, and restarts.
    if (marker === 0 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    if (!isFrame(marker)) checkMarker(marker);
    // A comment's length may be less than its own, for libjpeg.
    const length = Math.max(file.readUInt16BE(offset), marker < 0xe0 ? 0 : 2);
    if (length < 2 || offset + length > file.length) throw new RangeError("a segment reaches beyond the file");
    const segment = file.subarray(offset + 2, offset + length);
    const whole = Buffer.concat([Buffer.of(0xff, marker), file.subarray(offset, offset + length)]);
    offset += length;
    const named = (marker === 0xe0 && startsWith(segment, "JFIF")) || (marker === 0xee && startsWith(segment, "Adobe"));
    if (named && segment.length < 7) throw new RangeError("a segment ends before its version");
    if (marker === 0xe0 && segment.length >= 14 && startsWith(segment, "JFIF\0")) {
      jfif = whole;
    } else if (marker === 0xee && segment.length >= 12 && startsWith(segment, "Adobe")) {
      adobe = whole;
    } else if (marker === 0xe1 && startsWith(segment, EXIF_HEADER)) {
      exif = exif ? Buffer.concat([exif, segment.subarray(EXIF_HEADER.length)]) : segment;
    } else if (marker === 0xe1 && startsWith(segment, XMP_HEADER)) {
      xmp = segment.subarray(XMP_HEADER.length);
    } else if (isFrame(marker)) {
      frame = readFrame(segment, marker);
      kept.push(whole);
    } else if (marker < 0xe0) {
      if (marker === 0xdd) interval = segment.readUInt16BE(0);
      kept.push(whole);
    }
  }
  if (frame === undefined) throw new Error("the JPEG data has no frame header");
  // libjpeg believes JFIF before Adobe where there are three components.
  const colours = frame.components.length === 4 ? (adobe ?? ADOBE_CMYK) : (jfif ?? adobe);
  const scan = offset - 2;
  return {
    frame,
    jfif: jfif !== undefined,
    adobe: adobe?.readUInt8(4 + 11),
    exif,
    xmp,
    scan,
    interval,
    get essence() {
      return Buffer.concat([Buffer.of(0xff, 0xd8), ...(colours ? [colours] : []), ...kept, file.subarray(scan)]);
    },
  };
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && !NOT_FRAMES.has(marker);
}

function readFrame(segment: Buffer, marker: number): JpegFrame {
  const count = segment.readUInt8(5);
  return {
    marker,
    bits: segment.readUInt8(0),
    height: segment.readUInt16BE(1),
    width: segment.readUInt16BE(3),
    components: Array.from({ length: count }, (_, i) => {
      const sampling = segment.readUInt8(7 + 3 * i);
      const [across, down] = [sampling >> 4, sampling & 15];
      if (across < 1 || across > 4 || down < 1 || down > 4) {
        throw new Error(`its JPEG header is damaged (sampling factors of ${across} and ${down})`);
      }
      return { id: segment.readUInt8(6 + 3 * i), across, down };
    }),
  };
}

function startsWith(data: Buffer, header: string): boolean {
  return data.toString("latin1", 0, header.length) === header;
}
