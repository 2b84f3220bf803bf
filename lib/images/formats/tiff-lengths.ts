/** Counts the bytes that run-length encoded data expands to: TIFF's PackBits. */
export function packBitsLength(data: Buffer): number {
  let length = 0;
  for (let at = 0; at < data.length; ) {
    const code = data.readInt8(at++);
    if (code >= 0) {
      length += Math.min(code + 1, data.length - at);
      at += code + 1;
    } else if (code !== -128) {
      if (at < data.length) length += 1 - code;
      at++;
    }
  }
  return length;
}

const CLEAR = 256;
const END = 257;

/**
 * Counts the bytes that LZW data of a TIFF expands to, up to `enough`.
 * @throws Error for a code that names none before it: decoders follow such a code without end
 */
export function lzwLength(data: Buffer, enough: number): number {
  // The expanded length of each code; the first 256 are bytes.
  const lengths = new Uint32Array(4096).fill(1, 0, 256);
  let next = END + 1;
  let previous = -1;
  let total = 0;
  let bits = 0;
  let pending = 0;
  let width = 9;
  for (const byte of data) {
    pending = ((pending << 8) | byte) & 0xffffff;
    bits += 8;
    if (bits < width) continue;
    bits -= width;
    const code = (pending >>> bits) & (2 ** width - 1);
    if (code === END || total >= enough) return total;
    if (code === CLEAR) {
      next = END + 1;
      width = 9;
      previous = -1;
      continue;
    }
    if (code >= next + (previous < 0 ? 0 : 1) || (previous < 0 && code > 255)) {
      throw new Error("its LZW data is damaged");
    }
    const known = code < next ? (lengths[code] ?? 0) : (lengths[previous] ?? 0) + 1;
    total += known;
    if (previous >= 0 && next < 4096) {
      lengths[next++] = (lengths[previous] ?? 0) + 1;
      // One code early, as TIFF has it.
      if (next + 1 >= 2 ** width && width < 12) width++;
    }
    previous = code;
  }
  return total;
}
