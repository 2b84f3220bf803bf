/** Pictures' pixels, for tests to compare. */
import { createHash } from "node:crypto";
import { BlipImageProcessor, type ImageSource, type RawImage } from "neuron-blip";

export type Size = [width: number, height: number];

export function sha256(data: NodeJS.TypedArray): string {
  return createHash("sha256").update(data).digest("hex");
}

/** A picture's RGB bytes. */
export function rgbOf({ data, width, height, channels }: RawImage): Uint8Array {
  return Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => data[Math.floor(i / 3) * channels + (i % 3)] as number,
  );
}

/** A picture resized by the public route, as RGB bytes. */
export async function resize(source: ImageSource, [width, height]: Size): Promise<Uint8Array> {
  // A processor that only resizes: its pixel values are bytes.
  const processor = new BlipImageProcessor({ size: { width, height }, doRescale: false, doNormalize: false });
  const { data } = await processor.preprocess(source);
  const plane = width * height;
  return Uint8Array.from({ length: plane * 3 }, (_, i) => data[(i % 3) * plane + Math.floor(i / 3)] as number);
}

/** The pixels that make_processing_goldens.py computes, with alpha or without. */
export function computedPixels([width, height]: Size, channels: 3 | 4 = 3): RawImage {
  const data = new Uint8Array(width * height * channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[i++] = (x * x * 31 + y * y * 17 + x * y * 7 + c * 101) % 256;
      if (channels === 4) data[i++] = (x * 13 + y) % 256;
    }
  }
  return { data, width, height, channels };
}
