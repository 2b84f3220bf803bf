import { crc32 } from "node:zlib";

/** A record of a ZIP archive to be written; what is not given is told as it is. */
export interface ZipRecord {
  name: string;
  content: Buffer;
  /** Its bytes as deflated, where they shall be. */
  compressed?: Buffer;
  /** What the directory says, where that is not so. */
  directoryName?: string;
  size?: number;
  storedSize?: number;
  header?: number;
  method?: number;
}

/** Writes an archive, with the lies that its records are given. */
export function writeZip(records: readonly ZipRecord[], comment = ""): Buffer {
  const parts: Buffer[] = [];
  const entries: Buffer[] = [];
  let position = 0;
  for (const record of records) {
    const { name, content, compressed } = record;
    const bytes = compressed ?? content;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(record.method ?? (compressed ? 8 : 0), 4);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(record.storedSize ?? bytes.length, 14);
    fields.writeUInt32LE(record.size ?? content.length, 18);
    const local = Buffer.from(fields);
    local.writeUInt16LE(Buffer.byteLength(name), 22);
    fields.writeUInt16LE(Buffer.byteLength(record.directoryName ?? name), 22);
    const entry = Buffer.alloc(16);
    entry.writeUInt32LE(record.header ?? position, 10);
    entries.push(Buffer.from("PK\x01\x02\x14\0", "latin1"), fields, entry.subarray(0, 14));
    entries.push(Buffer.from(record.directoryName ?? name));
    const whole = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), local, Buffer.from(name), bytes]);
    parts.push(whole);
    position += whole.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(records.length, 8);
  end.writeUInt16LE(records.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(position, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([...parts, directory, end, Buffer.from(comment)]);
}

/** The records of an archive that stores them uncompressed, and where their bytes begin. */
export function readZip(archive: Buffer): (ZipRecord & { offset: number })[] {
  const end = archive.lastIndexOf("PK\x05\x06", undefined, "latin1");
  const records: (ZipRecord & { offset: number })[] = [];
  let at = archive.readUInt32LE(end + 16);
  for (let i = 0; i < archive.readUInt16LE(end + 10); i++) {
    const size = archive.readUInt32LE(at + 24);
    const nameLength = archive.readUInt16LE(at + 28);
    const header = archive.readUInt32LE(at + 42);
    const offset = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength);
    records.push({ name, offset, content: archive.subarray(offset, offset + size) });
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return records;
}
