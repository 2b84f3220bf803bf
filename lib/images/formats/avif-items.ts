import { type Box, BoxReader, boxes, findBox } from "./boxes.js";

export interface AvifItem {
  readonly id: number;
  /** Four characters: "av01" is a coded picture, "grid" one made of several, "Exif" and "mime" are metadata. */
  readonly type: string;
  /** Its properties, in the file's order. */
  readonly properties: readonly Box[];
  /** The items that it refers to as its parts. */
  readonly parts: readonly number[];
  /** Its bytes, where they are in the file. */
  readonly data: Buffer;
  /** The item that it is about, as metadata. */
  readonly describes: number | undefined;
  /** The item that it adds to: alpha. */
  readonly addsTo: number | undefined;
}

export interface AvifItems {
  readonly primary: AvifItem;
  readonly all: ReadonlyMap<number, AvifItem>;
  /** Whether its colours are multiplied by its alpha. */
  readonly premultiplied: boolean;
}

/**
 * Reads what an AVIF file's meta box says.
 * @throws Error that says what is wrong; RangeError where the file ends too early
 */
export function readAvifItems(file: Buffer): AvifItems {
  const metaBox = findBox(file, "meta");
  if (metaBox === undefined) throw new Error("its AVIF data has no meta box");
  const meta = metaBox.subarray(4);
  const part = (type: string) => {
    const data = findBox(meta, type);
    if (data === undefined) throw new Error(`its AVIF data has no ${type} box`);
    return data;
  };
  const types = readTypes(part("iinf"));
  const properties = readProperties(part("iprp"));
  const data = readLocations(part("iloc"), file, findBox(meta, "idat"));
  const references = readReferences(findBox(meta, "iref"));
  const all = new Map<number, AvifItem>();
  for (const [id, type] of types) {
    all.set(id, {
      id,
      type,
      properties: properties.get(id) ?? [],
      parts: references.get("dimg")?.get(id) ?? [],
      data: data.get(id) ?? Buffer.alloc(0),
      describes: references.get("cdsc")?.get(id)?.[0],
      addsTo: references.get("auxl")?.get(id)?.[0],
    });
  }
  const pitm = new BoxReader(part("pitm"));
  const wide = pitm.uint(4) >>> 24 > 0;
  const primary = all.get(pitm.uint(wide ? 4 : 2));
  if (primary === undefined) throw new Error("its AVIF data has no primary picture");
  return { primary, all, premultiplied: references.get("prem")?.has(primary.id) === true };
}

function readTypes(iinf: Buffer): Map<number, string> {
  const head = new BoxReader(iinf);
  head.uint(4);
  const start = 4 + (iinf.readUInt8(0) === 0 ? 2 : 4);
  const types = new Map<number, string>();
  for (const { type, data } of boxes(iinf.subarray(start))) {
    if (type !== "infe" || data.readUInt8(0) < 2) continue;
    const reader = new BoxReader(data, 4);
    const id = reader.uint(data.readUInt8(0) === 2 ? 2 : 4);
    types.set(id, data.toString("latin1", reader.at + 2, reader.at + 6));
  }
  return types;
}

function readProperties(iprp: Buffer): Map<number, Box[]> {
  const known = [...boxes(findBox(iprp, "ipco") ?? Buffer.alloc(0))];
  const properties = new Map<number, Box[]>();
  for (const { type, data } of boxes(iprp)) {
    if (type !== "ipma") continue;
    const reader = new BoxReader(data, 4);
    const wideIds = data.readUInt8(0) > 0;
    const wideIndices = data.readUInt8(3) & 1;
    for (let entries = reader.uint(4); entries > 0; entries--) {
      const id = reader.uint(wideIds ? 4 : 2);
      const own = properties.get(id) ?? [];
      for (let count = reader.uint(1); count > 0; count--) {
        const index = wideIndices ? reader.uint(2) & 0x7fff : reader.uint(1) & 0x7f;
        const box = known[index - 1];
        if (box !== undefined) own.push(box);
      }
      properties.set(id, own);
    }
  }
  return properties;
}

function readLocations(iloc: Buffer, file: Buffer, idat: Buffer | undefined): Map<number, Buffer> {
  const version = iloc.readUInt8(0);
  const reader = new BoxReader(iloc, 4);
  const sizes = reader.uint(2);
  const [offsetSize, lengthSize, baseSize] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15];
  const indexSize = version > 0 ? sizes & 15 : 0;
  const locations = new Map<number, Buffer>();
  for (let count = reader.uint(version < 2 ? 2 : 4); count > 0; count--) {
    const id = reader.uint(version < 2 ? 2 : 4);
    const inside = version > 0 && (reader.uint(2) & 15) === 1;
    reader.uint(2);
    const base = reader.uint(baseSize);
    const extents: Buffer[] = [];
    for (let extent = reader.uint(2); extent > 0; extent--) {
      reader.uint(indexSize);
      const start = base + reader.uint(offsetSize);
      const length = reader.uint(lengthSize);
      const source = inside ? (idat ?? Buffer.alloc(0)) : file;
      extents.push(source.subarray(start, length === 0 ? source.length : start + length));
    }
    const [only, second] = extents;
    locations.set(id, only !== undefined && second === undefined ? only : Buffer.concat(extents));
  }
  return locations;
}

/** Reads references: by type, from an item's id to those that it refers to. */
function readReferences(iref: Buffer | undefined): Map<string, Map<number, number[]>> {
  const references = new Map<string, Map<number, number[]>>();
  if (iref === undefined) return references;
  const idSize = iref.readUInt8(0) === 0 ? 2 : 4;
  for (const { type, data } of boxes(iref.subarray(4))) {
    const reader = new BoxReader(data);
    const from = reader.uint(idSize);
    const to = Array.from({ length: reader.uint(2) }, () => reader.uint(idSize));
    const ofType = references.get(type) ?? new Map<number, number[]>();
    ofType.set(from, to);
    references.set(type, ofType);
  }
  return references;
}
