import type { DecodeContext } from "./codec.js";

/** Pillow's conversions to RGB, which those of other libraries differ from by a few levels. */

/** Multiplies two bytes as fractions of 255, rounded as Pillow rounds it. */
function multiply(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Converts CMYK to RGB. @param cmyk 255 is full ink */
export function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4, to += 3) {
    const light = 255 - (cmyk[from + 3] ?? 0);
    for (let c = 0; c < 3; c++) {
      rgb[to + c] = light - multiply(cmyk[from + c] ?? 0, light);
    }
  }
  return rgb;
}

/**
 * Converts gray values of more than 8 bits to RGB, as Pillow's convert("RGB") does: cut at 0 and 255, not scaled, so that most of a
 * 16-bit picture turns white.
 * @param warn told once in a process where values were cut
 */
export function clipToRgb(values: ArrayLike<number>, warn?: DecodeContext["warn"]): Uint8Array {
  const rgb = new Uint8Array(values.length * 3);
  let cut = false;
  for (let i = 0, to = 0; i < values.length; i++, to += 3) {
    const value = values[i] ?? 0;
    const byte = value >= 255 ? 255 : value > 0 ? Math.trunc(value) : 0;
    if (value > 255) cut = true;
    rgb[to] = byte;
    rgb[to + 1] = byte;
    rgb[to + 2] = byte;
  }
  if (cut && warn) warnOfCutGray(warn);
  return rgb;
}

/** Tells the user that values above 255 turned white. */
export function warnOfCutGray(warn: DecodeContext["warn"]): void {
  warn(
    "A picture of 16-bit gray was read as Pillow reads it, and so as transformers sees it: values above 255 are white. " +
      "Convert such pictures to 8 bits before.",
    "NEURON_BLIP_16_BIT_GRAY",
  );
}

/**
 * Converts YCbCr as libtiff does, in its fixed-point arithmetic.
 * @param coefficients of red, green and blue in the luminance; none for the usual ones
 * @param reference black and white of each component; none for the whole range
 */
export function libtiffYCbCr(
  coefficients: readonly number[],
  reference: readonly number[],
): (ycc: Uint8Array) => Uint8Array {
  const float = Math.fround;
  const [red = float(0.299), green = float(0.587), blue = float(0.114)] =
    coefficients.length >= 3 ? coefficients.map(float) : [];
  const [black = 0, white = 255, cbBlack = 128, cbWhite = 255, crBlack = 128, crWhite = 255] =
    reference.length >= 6 ? reference.map(float) : [];
  const fixed = (value: number) => Math.trunc(Math.min(Math.max(value, 0), 2) * 65536 + 0.5);
  const redFactor = float(2 - 2 * red);
  const blueFactor = float(2 - 2 * blue);
  const crToRed = fixed(redFactor);
  const crToGreen = -fixed(float(float(red * redFactor) / green));
  const cbToBlue = fixed(blueFactor);
  const cbToGreen = -fixed(float(float(blue * blueFactor) / green));
  const scale = (code: number, low: number, high: number, range: number) => {
    const value = float(float((code - Math.trunc(low)) * range) / float(high - low !== 0 ? high - low : 1));
    return Math.trunc(Math.min(Math.max(value, -4096), 4096));
  };
  const sharesOf = (code: number) => {
    const cr = scale(code - 128, crBlack - 128, crWhite - 128, 127);
    const cb = scale(code - 128, cbBlack - 128, cbWhite - 128, 127);
    return {
      y: scale(code, black, white, 255),
      red: (crToRed * cr + 32768) >> 16,
      blue: (cbToBlue * cb + 32768) >> 16,
      greenOfCr: crToGreen * cr,
      greenOfCb: cbToGreen * cb + 32768,
    };
  };
  const first = sharesOf(0);
  const tables = Array.from({ length: 256 }, (_, code) => sharesOf(code));
  return (ycc) => {
    const rgb = new Uint8ClampedArray(ycc.length);
    for (let i = 0; i < ycc.length; i += 3) {
      const { y } = tables[ycc[i] ?? 0] ?? first;
      const cb = tables[ycc[i + 1] ?? 0] ?? first;
      const cr = tables[ycc[i + 2] ?? 0] ?? first;
      rgb[i] = y + cr.red;
      rgb[i + 1] = y + ((cb.greenOfCb + cr.greenOfCr) >> 16);
      rgb[i + 2] = y + cb.blue;
    }
    return new Uint8Array(rgb.buffer);
  };
}
