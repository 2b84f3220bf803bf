/** The transfer of one file's content into the cache. */
import { createHash, type Hash } from "node:crypto";
import { codeOf, NeuronBlipError } from "../errors.js";
import { shown } from "../util/values.js";
import { BusyError, errorOf, type HubAnswer, type HubClient, mayPass } from "./hub-client.js";
import { unreached } from "./hub-errors.js";
import type { HubFile } from "./hub-repository.js";
import { PartialFile, sweep } from "./partial-file.js";

/** The content that the Hub gives is another than it has announced: what it says of the file has to be asked again. */
export class FileChangedError extends Error {}

/** So many bytes show that a connection works, and that the next failure is another. */
const PROGRESS_BYTES = 2 ** 16;
const RANGE_NOT_SATISFIABLE = 416;
const SHA256 = /^[0-9a-f]{64}$/;

export interface Transfer {
  readonly model: string;
  readonly commit: string;
  readonly file: HubFile;
  /** The folder with the contents. */
  readonly blobs: string;
  /** Called with the number of bytes that are here. */
  readonly onBytes: (loaded: number) => void;
}

/**
 * Fetches a content into the cache. Continues what an earlier attempt has left; connects again where a connection is cut.
 * @throws NeuronBlipError `HUB_UNREACHABLE`, `HUB_ACCESS_DENIED`, `ARTIFACT_CORRUPT` where the content is not what the Hub has announced,
 * `ABORTED`; the system's error where it cannot be written; FileChangedError.
 */
export async function downloadFile(hub: HubClient, transfer: Transfer): Promise<void> {
  const { file, blobs } = transfer;
  const partial = await PartialFile.open(blobs, file.etag, file.size);
  let isFinished = false;
  try {
    const receiver = new Receiver(hub, transfer, partial);
    await receiver.receiveAll();
    isFinished = true;
    await partial.finish();
  } catch (error) {
    // A full disk is given back what it lacks; what is complete and has no room for its name is no use either.
    const isOfDisk = codeOf(error) === "ENOSPC" || codeOf(error) === "EDQUOT";
    const isOfNoUse = isOfDisk || isFinished || error instanceof FileChangedError;
    await (isOfNoUse ? partial.discard() : partial.leave());
    throw errorOf(error);
  }
  await sweep(blobs, file.etag);
}

class Receiver {
  readonly #hub: HubClient;
  readonly #transfer: Transfer;
  readonly #partial: PartialFile;
  #hash: Hash | undefined;

  constructor(hub: HubClient, transfer: Transfer, partial: PartialFile) {
    this.#hub = hub;
    this.#transfer = transfer;
    this.#partial = partial;
  }

  async receiveAll(): Promise<void> {
    const { file, onBytes } = this.#transfer;
    let isWhole = this.#partial.size === 0;
    this.#hash = createHash("sha256");
    for await (const piece of this.#partial.read()) this.#hash.update(piece);
    onBytes(this.#partial.size);
    for (let round = 1; ; round++) {
      isWhole = (await this.#receiveRest()) && isWhole;
      if (file.sha256 === undefined || this.#hash.copy().digest("hex") === file.sha256) return;
      await this.#startOver();
      // What was put together of several connections may be right in one piece.
      if (isWhole || round > 1) throw this.#corrupt(`its SHA-256 is not ${file.sha256}, which the Hub has announced`);
      isWhole = true;
    }
  }

  /** Receives what is missing. @returns whether it came over one connection. */
  async #receiveRest(): Promise<boolean> {
    const { size } = this.#transfer.file;
    const delays = this.#hub.settings.retryDelaysMs;
    let connections = 0;
    for (let failures = 0; this.#partial.size < size; ) {
      const before = this.#partial.size;
      try {
        connections++;
        await this.#receive();
      } catch (error) {
        if (!mayPass(error)) throw error;
        if (this.#partial.size >= before + PROGRESS_BYTES) failures = 0;
        const delay = delays[failures++];
        if (delay === undefined) throw error;
        await this.#hub.pause(Math.max(delay, error instanceof BusyError ? error.waitMs : 0));
      }
    }
    return connections <= 1;
  }

  /** Receives what one connection gives. */
  async #receive(): Promise<void> {
    const { model, commit, file, onBytes } = this.#transfer;
    const from = this.#partial.size;
    const answer = await this.#hub.open(`${model}/resolve/${commit}/${encodeURIComponent(file.path)}`, {
      asked: { model, revision: commit, file: file.path },
      ...(from > 0 && { headers: { range: `bytes=${from}-` }, accepts: [RANGE_NOT_SATISFIABLE] }),
    });
    let isRead = false;
    try {
      this.#checkIsSame(answer);
      if (from > 0 && !goesOn(answer.response, from, file.size)) {
        await this.#startOver();
        if (answer.response.status !== 200) throw unreached(this.#hub.peer, `does not go on with ${shown(file.path)}`);
      }
      isRead = true;
      for await (const piece of answer.chunks()) {
        if (this.#partial.size + piece.length > file.size) {
          await this.#startOver();
          throw this.#corrupt(`it has more than the ${file.size} bytes that the Hub has announced`);
        }
        await this.#partial.append(piece);
        this.#hash?.update(piece);
        onBytes(this.#partial.size);
      }
    } finally {
      if (!isRead) await answer.close();
    }
    if (this.#partial.size < file.size) throw unreached(this.#hub.peer, `ended ${shown(file.path)} too early`);
  }

  #checkIsSame({ etag }: HubAnswer): void {
    const { file } = this.#transfer;
    if (file.sha256 === undefined || etag === undefined || !SHA256.test(etag) || etag === file.sha256) return;
    throw new FileChangedError(`${file.path} is ${etag}, and was to be ${file.sha256}`);
  }

  async #startOver(): Promise<void> {
    await this.#partial.empty();
    this.#hash = createHash("sha256");
  }

  #corrupt(why: string): NeuronBlipError {
    const { model, file } = this.#transfer;
    return new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `${shown(file.path)} of the model ${shown(model)} came damaged: ${why}. Nothing of it was kept. Try again; where it comes so each ` +
        "time, something between here and the Hub changes it.",
    );
  }
}

/** Says whether an answer begins at the byte that was asked for. */
function goesOn({ status, headers }: Response, from: number, size: number): boolean {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  return status === 206 && Number(range?.[1]) === from && (range?.[2] === "*" || Number(range?.[2]) === size);
}
