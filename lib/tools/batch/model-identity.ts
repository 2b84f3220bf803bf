import { createHash } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

const OF_A_MODEL = /\.(json|txt|pt|safetensors|bin)$/;
/** Of a file's beginning and of its end: to read gigabytes of weights twice would take long. */
const BYTES = 2 ** 20;

/** Returns what tells a model directory from another: a hash over its files' names and sizes, their beginnings and ends. */
export async function identityOf(directory: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(directory)).filter((name) => OF_A_MODEL.test(name)).sort()) {
    const file = await open(join(directory, name), "r");
    try {
      const { size } = await file.stat();
      hash.update(`${name}\0${size}\0`);
      for (const from of new Set([0, Math.max(0, size - BYTES)])) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(BYTES), 0, BYTES, from);
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest("hex");
}
