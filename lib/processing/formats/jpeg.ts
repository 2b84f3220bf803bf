import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";
import { readExifOrientation, validOrientation } from "./exif.js";

const EXIF_HEADER = "Exif\0\0";
const XMP_HEADER = "http://ns.adobe.com/xap/1.0/\0";

/** Baseline, extended sequential and progressive: what jimp decodes. */
const DECODABLE_FRAMES = new Set([0xc0, 0xc1, 0xc2]);
/** Markers from 0xC0 to 0xCF that are not frame headers: DHT, JPG, DAC. */
const NOT_FRAMES = new Set([0xc4, 0xc8, 0xcc]);

/** JPEG: baseline and progressive, grayscale, colour and CMYK, 8 bits. */
export const jpeg: ImageCodec = { readHeader, decode };

function readHeader(file: Buffer): ImageHeader {
  let size: { width: number; height: number } | undefined;
  let exif: number | undefined;
  let xmp: number | undefined;
  for (let offset = 2; ; ) {
    if (file.readUInt8(offset) !== 0xff) throw new Error("its JPEG header is damaged");
    let marker = 0xff;
    while (marker === 0xff) marker = file.readUInt8(++offset); // any number of fill bytes
    offset++;
    if (marker === 0xda) break; // the pixels begin
    if (marker === 0xd9) throw new Error("the JPEG data has no picture");
    if ((marker >= 0xd0 && marker <= 0xd8) || marker === 0x01) continue; // markers without data
    const length = file.readUInt16BE(offset);
    if (length < 2) throw new Error("its JPEG header is damaged");
    const segment = file.subarray(offset + 2, offset + length);
    if (marker === 0xe1 && startsWith(segment, EXIF_HEADER)) {
      exif ??= readExifOrientation(segment.subarray(EXIF_HEADER.length));
    } else if (marker === 0xe1 && startsWith(segment, XMP_HEADER)) {
      const match = /tiff:Orientation(?:="|>)([0-9])/.exec(segment.toString("latin1"));
      if (match) xmp ??= validOrientation(Number(match[1]));
    } else if (marker >= 0xc0 && marker <= 0xcf && !NOT_FRAMES.has(marker)) {
      size = readFrame(segment, marker);
    }
    offset += length;
  }
  if (!size) throw new Error("the JPEG data has no frame header");
  return { ...size, orientation: exif !== undefined && exif !== 1 ? exif : (xmp ?? 1) };
}

function readFrame(segment: Buffer, marker: number): { width: number; height: number } {
  const bits = segment.readUInt8(0);
  if (!DECODABLE_FRAMES.has(marker) || bits !== 8) {
    throw new Error(
      `it is a kind of JPEG that is not supported (frame type 0x${marker.toString(16)}, ${bits} bits per sample); ` +
        "save it as a baseline JPEG or as a PNG",
    );
  }
  const size = { height: segment.readUInt16BE(1), width: segment.readUInt16BE(3) };
  checkNotEmpty(size.width, size.height);
  return size;
}

async function decode(file: Buffer, { width, height }: ImageHeader, maxPixels: number): Promise<Uint8Array> {
  const { default: jimpJpeg } = await import("@jimp/js-jpeg");
  // The decoder's own bound, against a file that makes it allocate more than its size accounts for: four components of
  // 4-byte coefficients, their samples and the result, for whole blocks.
  const maxMemoryUsageInMB = 16 + ((width + 64) * (height + 64) * 32) / 2 ** 20;
  return jimpJpeg().decode(file, {
    tolerantDecoding: false,
    maxResolutionInMP: maxPixels / 1e6,
    maxMemoryUsageInMB,
  }).data;
}

function startsWith(data: Buffer, header: string): boolean {
  return data.toString("latin1", 0, header.length) === header;
}
