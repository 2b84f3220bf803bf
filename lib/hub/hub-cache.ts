/**
 * The cache's folders, as Python's huggingface_hub lays them out: models--OWNER--NAME with blobs/ (contents, by their ETag),
 * snapshots/COMMIT/ (files, as links to contents), refs/ (the commit of a branch), .no_exist/COMMIT/ (files that a commit lacks) and
 * trees/COMMIT.json (all that it has, where Python has asked for that).
 */
import { randomBytes } from "node:crypto";
import { copyFile, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf, NeuronBlipError } from "../errors.js";
import { makeDirectory } from "../util/files.js";
import { isCommit } from "../util/hub-name.js";
import { isObject, readJsonIfThere } from "../util/json-file.js";
import { shown } from "../util/values.js";
import type { HubFile } from "./hub-repository.js";
import { INDEX, type Purpose, shardsOf, WEIGHTS, wantedOf } from "./wanted-files.js";

const TAG =
  "Signature: 8a477f597d28d172789f06886806bc55\n# Made for the Hugging Face cache: see https://bford.info/cachedir/.\n";
/** What makes a directory one of a compiled model. (A trainer's optimizer.pt beside a checkpoint is never read.) */
const COMPILED = /^(neuron_blip\.json|(vision|text|image)_\w*\.pt)$/;
/** What a file system says that has no symbolic links. */
const NO_LINKS = /EPERM|ENOTSUP|EOPNOTSUPP|ENOSYS|EINVAL/;

/** How much of a model is in the cache. */
export type Presence =
  /** All that is needed, or is known not to exist. */
  | "complete"
  /** All without which it cannot run; whether there is more, the Hub would know. */
  | "usable"
  | "incomplete";

/** One model's folder. */
export class ModelFolder {
  readonly path: string;
  readonly #root: string;

  /** @param root the cache. */
  constructor(root: string, model: string) {
    this.#root = root;
    this.path = join(root, `models--${model.replace("/", "--")}`);
  }

  /** Returns the folder with the contents. */
  get blobs(): string {
    return join(this.path, "blobs");
  }

  /** Returns the folder with a commit's files: what a model directory is. */
  snapshot(commit: string): string {
    return join(this.path, "snapshots", commit);
  }

  /** Reads the commit that a revision stood for when the Hub was asked last. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = (await readFile(join(this.path, "refs", revision), "utf8").catch(() => "")).trim();
    return /^[0-9a-f]{7,64}$/.test(text) ? text : undefined;
  }

  /** Says how much of a commit the cache has. */
  async presenceOf(commit: string, purpose: Purpose): Promise<Presence> {
    const snapshot = this.snapshot(commit);
    const [files, missing] = await Promise.all([namesIn(snapshot), namesIn(join(this.path, ".no_exist", commit))]);
    // A link whose content is gone is no file.
    const there = async (name: string) => files.has(name) && (await sizeOf(join(snapshot, name))) !== undefined;
    const listed = await this.#listOf(commit);
    const wanted = wantedOf(purpose, (name) => files.has(name) || (listed ? listed.has(name) : !missing.has(name)));
    const weights = [WEIGHTS, INDEX];
    let isComplete = true;
    let isUsable = purpose === "processor" || (await there("config.json"));
    for (const name of wanted) if (!weights.includes(name)) isComplete &&= await there(name);
    if (purpose === "model")
      isUsable &&= (await there(WEIGHTS)) || ((await there(INDEX)) && (await hasShards(snapshot)));
    if (!isUsable || files.size === 0) return "incomplete";
    return isComplete ? "complete" : "usable";
  }

  /** Reads the list of a commit's files, where Python's snapshot_download has kept it. */
  async #listOf(commit: string): Promise<Set<string> | undefined> {
    const { files } = (await readJsonIfThere(join(this.path, "trees", `${commit}.json`)).catch(() => undefined)) ?? {};
    return isObject(files) ? new Set(Object.keys(files)) : undefined;
  }

  /** Says whether the cache has a file's content, as large as it must be. */
  async hasContent({ etag, size }: HubFile): Promise<boolean> {
    return (await sizeOf(join(this.blobs, etag))) === size;
  }

  /** Says whether the cache has a commit's file: its content, or on file systems without links the file itself. */
  async hasFile(commit: string, { path, size }: HubFile): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), path))) === size;
  }

  /** Makes the folders for a commit. */
  async prepare(commit: string): Promise<void> {
    await makeDirectory(this.blobs);
    await makeDirectory(this.snapshot(commit));
    // Backup programs leave out what has this file; where it is, it stays.
    await writeFile(join(this.#root, "CACHEDIR.TAG"), TAG, { flag: "wx" }).catch(() => {});
  }

  /**
   * Puts a content into a commit's folder as a file: as a link to it, or where there are none, as the file.
   * @param symlinks false to make no link.
   * @param isNew whether no other commit's folder can need the content where it lies.
   */
  async link(commit: string, { path, etag }: HubFile, { symlinks, isNew }: { symlinks: boolean; isNew: boolean }) {
    const to = join(this.snapshot(commit), path);
    const content = join(this.blobs, etag);
    // Whoever reads at the same time finds the old or the new, and never a half.
    const temporary = `${to}.${randomBytes(4).toString("hex")}.tmp`;
    try {
      const isLink = symlinks && (await tryLink(join("..", "..", "blobs", etag), temporary));
      if (!isLink && isNew) return await rename(content, to);
      if (!isLink) await copyFile(content, temporary);
      await rename(temporary, to);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
  }

  /** Keeps which files a commit has not, so that nobody asks again. */
  async rememberMissing(commit: string, names: readonly string[]): Promise<void> {
    const folder = join(this.path, ".no_exist", commit);
    await makeDirectory(folder);
    await Promise.all(names.map((name) => writeFile(join(folder, name), "", { flag: "a" })));
  }

  /** Keeps what a revision stands for. */
  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.path, "refs", revision);
    if ((await readFile(path, "utf8").catch(() => "")) === commit) return;
    await makeDirectory(dirname(path));
    const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, path);
  }

  /**
   * Refuses a commit's folder with compiled parts, which are TorchScript: somebody else has put them there, and a model that is asked for by its
   * name alone must not run a stranger's programs.
   * @throws NeuronBlipError `ARTIFACT_MISMATCH`
   */
  async checkNoPrograms(commit: string, model: string): Promise<void> {
    const snapshot = this.snapshot(commit);
    const part = [...(await namesIn(snapshot))].find((name) => COMPILED.test(name));
    if (part === undefined) return;
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `The copy of ${shown(model)} in the Hugging Face cache is of a compiled model, by its ${shown(part)}: TorchScript files are programs of ` +
        `whoever wrote them, and by a model's name none is loaded. If you trust its author, give the directory ${shown(snapshot)}.`,
    );
  }
}

async function hasShards(snapshot: string): Promise<boolean> {
  const shards = await shardsOf(join(snapshot, INDEX)).catch(() => undefined);
  if (!shards) return false;
  const sizes = await Promise.all(shards.map((name) => sizeOf(join(snapshot, name))));
  return sizes.every((size) => size !== undefined);
}

/** Makes a link. @returns false where the file system has no links. */
async function tryLink(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path);
    return true;
  } catch (error) {
    if (NO_LINKS.test(codeOf(error) ?? "")) return false;
    throw error;
  }
}

async function namesIn(folder: string): Promise<Set<string>> {
  return new Set(await readdir(folder).catch((): string[] => []));
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}
