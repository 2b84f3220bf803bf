/**
 * What a picture may be given as. Classes are described by what is used of them, so that reading these types needs neither the
 * DOM's nor Node's.
 */
import type { UrlLike } from "../util/values.js";

/** Pixels in memory, 8 bits a sample, rows from the top. */
export interface PixelSource {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  /**
   * 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA); without it the length says which. Alpha is dropped, as by Pillow's
   * `convert("RGB")`.
   */
  readonly channels?: 1 | 2 | 3 | 4;
}

/** What Jimp's images have: RGBA pixels. */
export interface JimpLike {
  readonly bitmap: { readonly data: Uint8Array; readonly width: number; readonly height: number };
}

/** A Blob or File. */
export interface BlobLike {
  readonly size: number;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** A web ReadableStream of bytes. */
export interface WebStreamLike {
  readonly locked: boolean;
  getReader(): {
    read(): Promise<{ readonly done: boolean; readonly value?: unknown }>;
    cancel(reason?: unknown): Promise<void>;
    releaseLock(): void;
  };
}

/** A Node.js Readable of bytes, or an older kind of stream with its events. */
export interface NodeStreamLike {
  pipe(destination: never): unknown;
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  removeListener(event: string, listener: (...values: unknown[]) => void): unknown;
}

/** What `fetch` resolves with. */
export interface ResponseLike {
  readonly ok: boolean;
  readonly status: number;
  readonly bodyUsed: boolean;
  readonly headers: { get(name: string): string | null };
  readonly body: WebStreamLike | NodeStreamLike | null;
}

/** A FileHandle of `node:fs/promises`. It is read from its beginning, wherever it stands, and not closed. */
export interface FileHandleLike {
  readonly fd: number;
  stat(): Promise<{ readonly size: number; isFile(): boolean }>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** An uploaded file as multer's memory storage gives it. */
export interface UploadLike {
  readonly buffer: Uint8Array;
}

/** A sharp instance: its pipeline is run to raw pixels, and the instance itself left as it is. */
export interface SharpLike {
  toBuffer(options: { resolveWithObject: true }): Promise<SharpOutput>;
  metadata(): Promise<{ readonly width?: number | undefined; readonly height?: number | undefined }>;
  clone(): SharpLike;
  raw(options?: { depth?: "uchar" }): SharpLike;
}

/** What sharp's `toBuffer({ resolveWithObject: true })` gives: with the format "raw" pixels, else an encoded picture. */
export interface SharpOutput {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly info: {
    readonly format: string;
    readonly width: number;
    readonly height: number;
    readonly channels: number;
  };
}

/**
 * Where a picture comes from:
 * - the path of a file, a `file:`, `data:`, `http:` or `https:` URL (a string or an object), a FileHandle;
 * - the bytes of a file: a Buffer, a Uint8Array, a DataView, an ArrayBuffer (shared ones too), a Blob or File, a Response, a web
 *   ReadableStream or a Node.js Readable of them, or `{ buffer }`;
 * - pixels: `{ data, width, height, channels }`, a Jimp image, a sharp instance, or what sharp's `toBuffer` gave.
 *
 * Files are JPEG, PNG, GIF, BMP or TIFF, and with sharp also WebP and AVIF.
 */
export type ImageSource =
  | string
  | UrlLike
  | Uint8Array
  | DataView
  | ArrayBuffer
  | SharedArrayBuffer
  | BlobLike
  | ResponseLike
  | WebStreamLike
  | NodeStreamLike
  | FileHandleLike
  | UploadLike
  | SharpLike
  | SharpOutput
  | JimpLike
  | PixelSource;

/** `fetch`, or what does its work: http(s) addresses of pictures are asked of it. Redirects are for it to follow. */
export type FetchPicture = (url: string, init: { signal: AbortSignal }) => Promise<ResponseLike>;

/** How pictures may come. */
export interface SourceOptions {
  /**
   * The most bytes of a picture that comes by http, a `data:` URL, a Response or a stream. It also has 30 s to come. Default
   * 33,554,432 (32 MB).
   */
  readonly maxBytes?: number;
  /** What fetches http(s) addresses. Default: the global `fetch`. false: none are fetched, and giving one is `INVALID_INPUT`. */
  readonly fetch?: FetchPicture | false;
  /**
   * false: no files are read; a path, a `file:` URL or a FileHandle is `INVALID_INPUT`. With `fetch: false` too, strings may come
   * from strangers. Default true.
   */
  readonly files?: boolean;
}
