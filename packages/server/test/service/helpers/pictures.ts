import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { root } from "./server-process.js";

/** A picture of 12 KB. */
export const picturePath = join(root, "demo", "pictures", "three-shapes.png");
export const picture = readFileSync(picturePath);

export const QUESTIONS = [
  "how many stars are there?",
  "what color is the square?",
  "is there a circle?",
  "what shape is red?",
];

export function questionsOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => QUESTIONS[i % QUESTIONS.length] ?? "");
}

/** A path of /answer with as many questions. */
export function answerPath(count = 1): string {
  const query = new URLSearchParams();
  for (const question of questionsOf(count)) query.append("question", question);
  return `/answer?${query}`;
}

/** A PNG of one color: some thousand bytes that unpack to width x height pixels. */
export function plainPng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8); // one bit, gray
  const rows = Buffer.alloc((Math.ceil(width / 8) + 1) * height);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND")]);
}

function chunk(type: string, content: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
