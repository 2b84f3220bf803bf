import type { FastifyRequest } from "fastify";
import { Problem } from "../problem.js";
import { fromBase64, fromDataUrl } from "./base64.js";
import type { PictureUrls } from "./picture-urls.js";

/** A picture in JSON: base64, a `data:` URL, or an allowed URL, as a string or said which. */
export type JsonPicture = string | { readonly base64: string } | { readonly url: string };

/** The JSON schema of a `JsonPicture`. */
export const JSON_PICTURE = {
  description: "base64, a data: URL, or the URL of an allowed host",
  anyOf: [
    { type: "string", minLength: 1 },
    { type: "object", required: ["base64"], additionalProperties: false, properties: { base64: { type: "string" } } },
    { type: "object", required: ["url"], additionalProperties: false, properties: { url: { type: "string" } } },
  ],
} as const;

/** Makes bytes of the pictures that requests have in them: the model is never given a string, which it might read from a disk. */
export class PictureReader {
  readonly #urls: PictureUrls;

  constructor(urls: PictureUrls) {
    this.#urls = urls;
  }

  /** Reads a picture of a JSON body. @throws Problem `INVALID_INPUT`, and as `PictureUrls.fetch`. */
  async fromJson(picture: JsonPicture, request: FastifyRequest): Promise<Buffer> {
    if (typeof picture !== "string") {
      return "base64" in picture ? fromBase64(picture.base64) : this.fromUrl(picture.url, request);
    }
    return /^[a-z][a-z0-9+.-]*:/i.test(picture) ? this.fromUrl(picture, request) : fromBase64(picture);
  }

  /** Reads the picture of a URL of http:, https: or data:. @throws as above */
  async fromUrl(url: string, request: FastifyRequest): Promise<Buffer> {
    return fromDataUrl(url) ?? this.#urls.fetch(url, { signal: request.abortSignal, share: request.byteShare });
  }

  /** Reads a body that is the picture itself. @throws Problem `INVALID_INPUT`, `UNSUPPORTED_MEDIA_TYPE` */
  fromBody({ body, headers }: FastifyRequest): Buffer {
    if (Buffer.isBuffer(body) && body.length > 0) return body;
    if (body === undefined || body === null || Buffer.isBuffer(body)) {
      throw new Problem("INVALID_INPUT", "The request has no picture: send one as the body, in a form, or in JSON.");
    }
    throw new Problem(
      "UNSUPPORTED_MEDIA_TYPE",
      `A body of ${String(headers["content-type"]).slice(0, 100)} is no picture.`,
    );
  }
}
