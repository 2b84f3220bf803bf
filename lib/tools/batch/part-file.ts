/** The output of a shard: on its way under a name of its own, beside a file that says of what, then under its name. */
import { constants, createReadStream } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../errors.js";
import { isThere } from "../../util/files.js";
import { BatchError } from "./batch-error.js";
import { type Line, linesOf } from "./lines.js";
import type { Id } from "./request.js";
import type { Shard } from "./shard.js";

/** What an output is of: where any of it differs, the lines that are there are not those that are wanted. */
export interface Facts {
  readonly input: string;
  readonly shard: string;
  readonly model: string;
  readonly questions: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
}

const LONGEST_LINE = 2 ** 29;

/** The names of a shard's files, without their extensions. */
export function nameOf({ index, count }: Shard): string {
  return `part-${index}-of-${count}`;
}

export class PartFile {
  /** Where the output is, when it is whole. */
  readonly path: string;
  readonly #part: string;
  readonly #file: FileHandle;
  /** The lines of an earlier run that were not looked at yet. */
  #earlier: AsyncGenerator<Line, void> | undefined;
  #size = 0;

  private constructor(path: string, part: string, file: FileHandle) {
    this.path = path;
    this.#part = part;
    this.#file = file;
    this.#earlier = linesOf(createReadStream(part), LONGEST_LINE);
  }

  /**
   * Opens the output, to go on after what an earlier run has written.
   * @param restart lets go of that instead.
   * @returns undefined where the output is whole already.
   * @throws BatchError where it is of something else; the system's error.
   */
  static async open(directory: string, shard: Shard, facts: Facts, restart: boolean): Promise<PartFile | undefined> {
    const base = join(directory, nameOf(shard));
    const [path, part, sidecar] = [`${base}.jsonl`, `${base}.jsonl.part`, `${base}.json`];
    if (restart) for (const file of [path, part, sidecar]) await rm(file, { force: true });
    const isWhole = await isThere(path);
    if (isWhole || (await isThere(part))) await checkFacts(path, sidecar, facts);
    else await writeWhole(sidecar, `${JSON.stringify(facts, undefined, 2)}\n`);
    if (isWhole) return undefined;
    return new PartFile(path, part, await open(part, constants.O_RDWR | constants.O_CREAT));
  }

  /**
   * Tells whether an earlier run has written the result of the line that comes next, and whether that was an error. At the first that
   * it has not, or not whole, what it wrote ends.
   */
  async earlierResult(id: Id): Promise<"done" | "failed" | undefined> {
    if (this.#earlier === undefined) return undefined;
    const { value: line } = await this.#earlier.next();
    const result = line?.isWhole && line.bytes ? resultIn(line.bytes, id) : undefined;
    if (result === undefined) await this.#endEarlier();
    else if (line) this.#size = line.end;
    return result;
  }

  /** Adds lines at the end. */
  async append(lines: string): Promise<void> {
    const bytes = Buffer.from(lines);
    for (let from = 0; from < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, from, bytes.length - from, this.#size);
      from += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Makes it the output: on the disk before under its name. */
  async finish(): Promise<void> {
    await this.#endEarlier();
    await this.#file.sync();
    await rename(this.#part, this.path);
    await syncDirectory(dirname(this.path));
  }

  async close(): Promise<void> {
    await this.#earlier?.return();
    await this.#file.close();
  }

  async #endEarlier(): Promise<void> {
    if (this.#earlier === undefined) return;
    await this.#earlier.return();
    this.#earlier = undefined;
    await this.#file.truncate(this.#size);
  }
}

/** Reads a result of an earlier run; undefined for what is none, or another line's. */
function resultIn(line: Buffer, id: Id): "done" | "failed" | undefined {
  try {
    const result: unknown = JSON.parse(line.toString("utf8"));
    if (typeof result !== "object" || result === null || !("id" in result) || result.id !== id) return undefined;
    return "error" in result ? "failed" : "done";
  } catch {
    return undefined;
  }
}

async function checkFacts(path: string, sidecar: string, facts: Facts): Promise<void> {
  const earlier: unknown = await readFile(sidecar, "utf8").then(JSON.parse).catch(messageOf);
  const known: Readonly<Record<string, unknown>> =
    typeof earlier === "object" && earlier !== null ? { ...earlier } : {};
  const others = Object.entries(facts).filter(([name, value]) => JSON.stringify(known[name]) !== JSON.stringify(value));
  if (others.length === 0) return;
  const what = others.map(([name]) => name).join(", ");
  throw new BatchError(
    `"${path}" is of an earlier run with a different ${what}. Give what that had, another --output, or --restart to begin anew.`,
  );
}

/** Writes a file that is never there in part. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.part`;
  const file = await open(draft, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } catch {
    // Not every file system can.
  } finally {
    await directory.close();
  }
}
