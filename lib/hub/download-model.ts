/** A model of the Hugging Face Hub as a directory: from the cache, or fetched into it. */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { either } from "../util/concurrency.js";
import { isCommit, revisionOf } from "../util/hub-name.js";
import { LARGEST_FILE } from "../util/json-file.js";
import { downloadFile, FileChangedError } from "./download-file.js";
import { ModelFolder, type Presence } from "./hub-cache.js";
import { HubClient } from "./hub-client.js";
import { cacheError, diskFull, offlineError } from "./hub-errors.js";
import { checkHubOptions, type HubOptions } from "./hub-options.js";
import { DownloadMeter } from "./hub-progress.js";
import { type HubFile, lookUpCommit, lookUpFiles } from "./hub-repository.js";
import { type HubSettings, readHubSettings } from "./hub-settings.js";
import { bytesLeftOf } from "./partial-file.js";
import { inBytes, ProgressBar } from "./progress-bar.js";
import { CONFIG, candidatesFor, INDEX, noWeights, type Purpose, shardsOf, WEIGHTS, wantedOf } from "./wanted-files.js";

export interface DownloadOptions extends HubOptions {
  /** What the files are for. Default: a whole model. */
  purpose?: Purpose;
  /** Looks at a directory with config.json, before the rest is fetched into it. */
  checkConfig?: (directory: string) => Promise<unknown>;
  /** In place of the environment's. */
  settings?: HubSettings;
}

/** Files that are fetched side by side. */
const AT_ONCE = 4;

/** Finds the directory of a model that the cache has, with all that it needs to run; sends no request. */
export async function findCached(model: string, revision?: string): Promise<string | undefined> {
  const { cache } = await readHubSettings();
  const folder = new ModelFolder(cache, model);
  const commit = await folder.commitOf(revisionOf(revision));
  if (commit === undefined || (await folder.presenceOf(commit, "model")) === "incomplete") return undefined;
  return folder.snapshot(commit);
}

/**
 * Returns the directory of a model of the Hub, in the cache that Python's huggingface_hub uses; fetches what it lacks.
 * @param model "owner/name"
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `HUB_ACCESS_DENIED`, `HUB_UNREACHABLE`, `HUB_OFFLINE`, `DISK_FULL`,
 * `CACHE_NOT_WRITABLE`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `INVALID_INPUT`, `ABORTED`
 */
export async function downloadModel(model: string, options: DownloadOptions = {}): Promise<string> {
  checkHubOptions(options);
  const revision = revisionOf(options.revision);
  const settings = options.settings ?? (await readHubSettings());
  const download = new ModelDownload(model, revision, options, settings);
  try {
    return await download.run();
  } catch (error) {
    throw cacheError(error, settings.cache);
  }
}

class ModelDownload {
  readonly #model: string;
  readonly #revision: string;
  readonly #options: DownloadOptions;
  readonly #settings: HubSettings;
  readonly #purpose: Purpose;
  readonly #folder: ModelFolder;

  constructor(model: string, revision: string, options: DownloadOptions, settings: HubSettings) {
    this.#model = model;
    this.#revision = revision;
    this.#options = options;
    this.#settings = settings;
    this.#purpose = options.purpose ?? "model";
    this.#folder = new ModelFolder(settings.cache, model);
  }

  async run(): Promise<string> {
    const { update = false } = this.#options;
    const known = await this.#folder.commitOf(this.#revision);
    const presence = known === undefined ? "incomplete" : await this.#folder.presenceOf(known, this.#purpose);
    const isFinal = !update || isCommit(this.#revision);
    if (known !== undefined && presence === "complete" && isFinal) return this.#use(known);
    if (this.#settings.offline !== undefined) {
      if (known !== undefined && presence !== "incomplete") return this.#use(known);
      throw offlineError({ model: this.#model, revision: this.#revision }, this.#settings);
    }
    return this.#fetch(known, presence);
  }

  async #fetch(known: string | undefined, presence: Presence): Promise<string> {
    const { signal } = this.#options;
    const asked = { model: this.#model, revision: this.#revision };
    const hub = new HubClient(this.#settings, this.#model, signal);
    for (let attempt = 1; ; attempt++) {
      try {
        const { commit, paths } = await lookUpCommit(hub, asked, presence === "incomplete");
        return await this.#fetchCommit(hub, commit, paths);
      } catch (error) {
        if (error instanceof FileChangedError) {
          if (attempt > 1) throw changed(this.#model, error);
        } else if (known !== undefined && presence !== "incomplete" && isOfTheHub(error)) {
          // What the cache has may lack a file that is not needed, or be behind the Hub: it runs.
          return this.#use(known);
        } else throw error;
      }
    }
  }

  async #fetchCommit(hub: HubClient, commit: string, paths: readonly string[]): Promise<string> {
    const { progress, checkConfig } = this.#options;
    const bar = progress === undefined && this.#hasTerminal() ? new ProgressBar(process.stderr) : undefined;
    const meter = new DownloadMeter(this.#model, bar ? (event) => bar.update(event) : progress || undefined);
    const candidates = candidatesFor(this.#purpose);
    const files = await lookUpFiles(hub, this.#model, commit, candidates);
    const wanted = wantedOf(this.#purpose, (path) => files.has(path));
    if (this.#purpose === "model") this.#checkIsModel(wanted, paths);
    for (const path of wanted) checkSize(files.get(path));
    const fetch = (some: readonly HubFile[]) => this.#fetchFiles(hub, commit, some, meter);
    const named = (names: readonly string[]) => names.flatMap((path) => files.get(path) ?? []);
    try {
      // First what says whether the rest is of use, and what there is.
      await fetch(named(wanted.filter((path) => path === CONFIG || path === INDEX)));
      const directory = this.#folder.snapshot(commit);
      await checkConfig?.(directory);
      const shards = wanted.includes(INDEX) ? await this.#shards(hub, commit) : [];
      const rest = [...named(wanted.filter((path) => path !== CONFIG && path !== INDEX)), ...shards];
      meter.begin();
      await fetch(rest);
    } finally {
      bar?.end();
    }
    // That these are not kept costs a question the next time.
    const missing = candidates.filter((path) => !files.has(path));
    await this.#folder.rememberMissing(commit, missing).catch(() => {});
    await this.#folder.remember(this.#revision, commit).catch(() => {});
    return this.#use(commit);
  }

  async #fetchFiles(hub: HubClient, commit: string, files: readonly HubFile[], meter: DownloadMeter): Promise<void> {
    const folder = this.#folder;
    const lacking: HubFile[] = [];
    for (const file of files) if (!(await folder.hasFile(commit, file))) lacking.push(file);
    if (lacking.length === 0) return;
    await folder.prepare(commit);
    // Of files with the same content, one is fetched.
    const toFetch = new Map<string, HubFile>();
    for (const file of lacking) if (!(await folder.hasContent(file))) toFetch.set(file.etag, file);
    await this.#checkRoom([...toFetch.values()]);
    meter.expect([...toFetch.values()]);
    await inParallel([...toFetch.values()], AT_ONCE, this.#options.signal, async (file, signal) => {
      await downloadFile(new HubClient(hub.settings, this.#model, signal), {
        model: this.#model,
        commit,
        file,
        blobs: folder.blobs,
        onBytes: (loaded) => meter.report(file.path, loaded),
      });
    });
    for (const file of lacking) {
      const isAlone = lacking.filter(({ etag }) => etag === file.etag).length === 1;
      const isNew = isAlone && toFetch.has(file.etag);
      await folder.link(commit, file, { symlinks: this.#settings.symlinks, isNew });
    }
  }

  /** Looks up the files that the index names. @throws NeuronBlipError `ARTIFACT_NOT_FOUND` for one that there is not. */
  async #shards(hub: HubClient, commit: string): Promise<HubFile[]> {
    const names = await shardsOf(join(this.#folder.snapshot(commit), INDEX));
    const files = await lookUpFiles(hub, this.#model, commit, names);
    return names.map((name) => {
      const file = files.get(name);
      if (file) return file;
      throw new NeuronBlipError(
        "ARTIFACT_NOT_FOUND",
        `The model "${this.#model}" has no file "${name}", which its ${INDEX} names. Its author has to add it; until then take another revision.`,
      );
    });
  }

  #checkIsModel(wanted: readonly string[], paths: readonly string[]): void {
    const page = `${this.#settings.endpoint}/${this.#model}`;
    if (!wanted.includes(WEIGHTS) && !wanted.includes(INDEX)) throw noWeights(this.#model, paths, page);
    if (wanted.includes(CONFIG)) return;
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `The model "${this.#model}" has no ${CONFIG}, so that nobody can say what it is: see ${page}. Give a BLIP such as Salesforce/blip-vqa-base.`,
    );
  }

  /** Checks the free space. @throws NeuronBlipError `DISK_FULL` before anything is written that would find no room. */
  async #checkRoom(files: readonly HubFile[]): Promise<void> {
    const { blobs } = this.#folder;
    const left = await Promise.all(files.map(({ etag, size }) => bytesLeftOf(blobs, etag, size)));
    const needed = files.reduce((sum, { size }, i) => sum + size - (left[i] ?? 0), 0);
    const room = await statfs(blobs).catch(() => undefined);
    // Some file systems do not say what they have.
    if (!room || room.blocks === 0) return;
    const free = room.bavail * room.bsize;
    if (needed > free) {
      throw diskFull(this.#settings.cache, `${inBytes(needed)} are to be fetched, and ${inBytes(free)} are free`);
    }
  }

  async #use(commit: string): Promise<string> {
    if (this.#purpose === "model") await this.#folder.checkNoPrograms(commit, this.#model);
    return this.#folder.snapshot(commit);
  }

  #hasTerminal(): boolean {
    return this.#settings.progressBars && process.stderr.isTTY === true && process.env.TERM !== "dumb";
  }
}

/** Checks a text file's size. @throws NeuronBlipError `ARTIFACT_CORRUPT` for one too large to be read, before it fills the disk. */
function checkSize(file: HubFile | undefined): void {
  if (!file || !/\.(json|txt)$/.test(file.path) || file.size <= LARGEST_FILE) return;
  throw new NeuronBlipError(
    "ARTIFACT_CORRUPT",
    `"${file.path}" of the model has ${file.size} bytes, and such a file has at most ${LARGEST_FILE}. It was not fetched.`,
  );
}

/** Runs work on every item, so many at once; the first failure ends the others, and is thrown when they have ended. */
async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  outer: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const { signal, stop } = either(outer, controller);
  const waiting = [...items];
  const failures: unknown[] = [];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined && failures.length === 0; item = waiting.shift()) {
      try {
        await work(item, signal);
      } catch (error) {
        failures.push(error);
        controller.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  stop();
  throwIfAborted(outer);
  if (failures.length > 0) throw failures[0];
}

/** Says whether an error is the Hub's or the network's, and not this host's. */
function isOfTheHub(error: unknown): boolean {
  const codes = ["HUB_UNREACHABLE", "HUB_ACCESS_DENIED", "ARTIFACT_NOT_FOUND"];
  return error instanceof NeuronBlipError && codes.includes(error.code);
}

function changed(model: string, cause: Error): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_CORRUPT",
    `The Hub gives other files of the model "${model}" than it announces: ${cause.message}. Try again; where it is so each time, ` +
      "something between here and the Hub changes them.",
    { cause },
  );
}
