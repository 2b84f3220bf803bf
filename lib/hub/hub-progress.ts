/** How far the fetching of a model's files is. */
import { messageOf, NeuronBlipError } from "../errors.js";
import { oneLine } from "../util/values.js";

export interface DownloadProgress {
  /** The model's name on the Hub, such as "Salesforce/blip-vqa-base". */
  readonly model: string;
  /** The file that bytes have come for, such as "model.safetensors". */
  readonly file: string;
  /** How many of its bytes are here, those of an earlier attempt included. */
  readonly fileLoaded: number;
  /** How many it has. */
  readonly fileTotal: number;
  /** How many bytes of all files that are to be fetched are here. */
  readonly loaded: number;
  /** How many they have. Files that the cache has are not counted. */
  readonly total: number;
}

/** Called when a file begins, ten times a second or for each twentieth of it while bytes come, and when it is complete. */
export type ProgressCallback = (progress: DownloadProgress) => void;

/** Between two calls, in ms. */
const INTERVAL_MS = 100;
/** Of a file, between two calls, whatever time they took. */
const PARTS = 20;

/** Adds up the bytes of several files. */
export class DownloadMeter {
  readonly #model: string;
  readonly #callback: ProgressCallback | undefined;
  readonly #files = new Map<string, { loaded: number; told: number; total: number }>();
  #lastCall = Number.NEGATIVE_INFINITY;
  #silent = true;

  constructor(model: string, callback: ProgressCallback | undefined) {
    this.#model = model;
    this.#callback = callback;
  }

  /** Adds files that are to be fetched. */
  expect(files: readonly { readonly path: string; readonly size: number }[]): void {
    for (const { path, size } of files) this.#files.set(path, { loaded: 0, told: 0, total: size });
  }

  /** Begins to make calls: from here on the total is known. */
  begin(): void {
    this.#silent = false;
  }

  /** Reports a file's progress. @param loaded how many bytes of the file are here now. */
  report(path: string, loaded: number): void {
    const file = this.#files.get(path);
    if (!file) return;
    file.loaded = loaded;
    const now = performance.now();
    const isEdge = loaded === 0 || loaded === file.total;
    const isDue = isEdge || now - this.#lastCall >= INTERVAL_MS || loaded - file.told >= file.total / PARTS;
    if (this.#silent || !isDue) return;
    this.#lastCall = now;
    file.told = loaded;
    const all = [...this.#files.values()];
    this.#call({
      model: this.#model,
      file: path,
      fileLoaded: loaded,
      fileTotal: file.total,
      loaded: all.reduce((sum, { loaded }) => sum + loaded, 0),
      total: all.reduce((sum, { total }) => sum + total, 0),
    });
  }

  #call(progress: DownloadProgress): void {
    try {
      this.#callback?.(progress);
    } catch (cause) {
      const why = `The function given as progress threw an error: ${oneLine(messageOf(cause), 300)}.`;
      throw new NeuronBlipError("INVALID_INPUT", why, { cause });
    }
  }
}
