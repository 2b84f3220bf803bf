// Whatever a picture is given as: the same pixels, or an error that names what it got.
import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createReadStream, openAsBlob, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable, Stream } from "node:stream";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { Jimp } from "jimp";
import { BlipProcessor, type ImageSource, type LoadImageOptions, loadImage, NeuronBlip, pipeline } from "neuron-blip";
import sharp from "sharp";
import { readStream } from "../../dist/images/read-stream.js";
import { fails, fixture } from "../helpers.ts";
import { rgbOf } from "./pixels.ts";

const path = join(fixture("pictures"), "rgba.png");
const file = readFileSync(path);
const model = fixture("parity/small-batch-2/model");
const captions = fixture("parity/captions/model");

/** A web stream of pieces, and what it was cancelled with. */
function webStream(pieces: unknown[], { ends = true } = {}) {
  const seen: { cancelled?: unknown } = {};
  const rest = [...pieces];
  const stream = new ReadableStream<unknown>({
    pull(controller) {
      if (rest.length > 0) controller.enqueue(rest.shift());
      else if (ends) controller.close();
      else return new Promise(() => {});
    },
    cancel(reason) {
      seen.cancelled = reason;
    },
  });
  return { stream, seen };
}

/** A stream of the first kind that Node had: events alone. */
function oldStream(bytes: Buffer): Stream {
  const stream = Object.assign(new Stream(), { readable: true });
  setImmediate(() => {
    for (let at = 0; at < bytes.length; at += 1000) stream.emit("data", bytes.subarray(at, at + 1000));
    stream.emit("end");
    stream.emit("close");
  });
  return stream;
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.length);
  new Uint8Array(memory).set(bytes);
  return memory;
}

const base64 = (bytes: Buffer) => `data:image/png;base64,${bytes.toString("base64")}`;
const escaped = (bytes: Buffer) =>
  `data:image/png;x=1,${[...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`;

describe("a picture", () => {
  let server: Server;
  let origin: string;
  let expected: Uint8Array;
  const requests: IncomingMessage[] = [];
  let respond: (request: IncomingMessage, response: ServerResponse) => void;
  before(async () => {
    server = createServer((request, response) => {
      requests.push(request);
      respond(request, response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    expected = rgbOf(await loadImage(path));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    requests.length = 0;
    respond = ({ url }, response) => {
      if (url === "/moved") response.writeHead(302, { location: "/picture.png" }).end();
      else if (url === "/picture.png") response.end(file);
      else response.writeHead(404).end("no such picture");
    };
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  /** Every kind of source, made anew each time: streams are read once. */
  const kinds: Record<string, () => ImageSource | Promise<ImageSource>> = {
    path: () => path,
    "file: URL": () => pathToFileURL(path),
    "file: URL as a string": () => pathToFileURL(path).href,
    "http URL": () => new URL(`${origin}/picture.png`),
    "http URL as a string": () => `${origin}/picture.png`,
    "http URL that redirects": () => `${origin}/moved`,
    "data: URL": () => base64(file),
    "data: URL object": () => new URL(base64(file)),
    "data: URL with parameters": () => base64(file).replace(";base64", ";name=a%20b;charset=utf-8;BASE64"),
    "data: URL with white space": () => base64(file).replace(/.{76}/g, "$&\r\n"),
    "data: URL with escapes": () => escaped(file),
    "data: URL of escaped base64": () => base64(file).replaceAll("+", "%2B").replaceAll("/", "%2f"),
    Buffer: () => file,
    Uint8Array: () => new Uint8Array(file),
    ArrayBuffer: () => new Uint8Array(file).buffer,
    DataView: () => new DataView(new Uint8Array(file).buffer),
    SharedArrayBuffer: () => shared(file),
    "shared Uint8Array": () => new Uint8Array(shared(file)),
    "Uint8Array of another realm": () => runInNewContext("Uint8Array.from(bytes)", { bytes: [...file] }),
    "ArrayBuffer of another realm": () => runInNewContext("Uint8Array.from(bytes).buffer", { bytes: [...file] }),
    Blob: () => new Blob([file]),
    "Blob of a file": () => openAsBlob(path),
    File: () => new File([file], "a.png"),
    Response: () => new Response(file),
    "fetched Response": () => fetch(`${origin}/picture.png`),
    "web stream": () =>
      webStream([file.subarray(0, 10), new Uint8Array(file.subarray(10, 500)).buffer, file.subarray(500)])
        .stream as ReadableStream<Uint8Array>,
    "web byte stream": () => new Blob([file]).stream(),
    Readable: () => Readable.from([file.subarray(0, 5), file.subarray(5)]),
    "file stream": () => createReadStream(path, { highWaterMark: 100 }),
    "paused PassThrough": () => {
      const stream = new PassThrough();
      stream.pause();
      stream.end(file);
      return stream;
    },
    "old stream": () => oldStream(file) as unknown as ImageSource,
    upload: () => ({ fieldname: "picture", mimetype: "image/png", buffer: file, size: file.length }),
    "sharp's output": () => sharp(file).png().toBuffer({ resolveWithObject: true }),
    "sharp's pixels": () => sharp(file).raw().toBuffer({ resolveWithObject: true }),
    sharp: () => sharp(path),
    "sharp in which a stream ends": () => createReadStream(path).pipe(sharp()),
    "sharp in which a stream has ended": async () => {
      const stream = createReadStream(path).pipe(sharp());
      await once(stream, "finish");
      return stream;
    },
    Jimp: () => Jimp.read(path),
  };

  for (const [kind, make] of Object.entries(kinds)) {
    it(`gives the same pixels as ${kind}`, async () => {
      assert.deepEqual(rgbOf(await loadImage(await make())), expected);
      const decodedByJimp = await loadImage(await make(), { decoder: "jimp" });
      assert.deepEqual(rgbOf(decodedByJimp), expected);
    });
  }

  it("gives the same pixels as a FileHandle, which is read from its beginning and stays open", async () => {
    await using handle = await open(path);
    await handle.read(Buffer.alloc(100));
    assert.deepEqual(rgbOf(await loadImage(handle)), expected);
    assert.deepEqual(rgbOf(await loadImage(handle)), expected);
    assert.equal((await handle.stat()).size, file.length);
  });

  it("may be pixels of 1 to 4 channels, which become RGB as by Pillow's convert", async () => {
    const grey = Uint8Array.from({ length: 6 }, (_, i) => i * 40);
    const rgb = Uint8Array.from({ length: 18 }, (_, i) => (i - (i % 3)) * (40 / 3));
    const withAlpha = Uint8Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? i * 20 : 7));
    const size = { width: 3, height: 2 };
    for (const pixels of [
      { data: grey },
      { data: grey, channels: 1 as const },
      { data: withAlpha },
      { data: withAlpha, channels: 2 as const },
    ]) {
      const image = await loadImage({ ...size, ...pixels });
      assert.deepEqual([image.channels, [...image.data]], [3, [...rgb]]);
    }
    const processor = await BlipProcessor.fromPretrained(model);
    const values = async (source: ImageSource) => (await processor.processImages(source)).data;
    assert.deepEqual(await values({ data: withAlpha, ...size }), await values({ data: rgb, ...size }));
    const output = { data: Buffer.from(grey), info: { format: "raw", ...size, channels: 1 } };
    assert.deepEqual(await values(output), await values({ data: rgb, ...size }));
  });

  it("leaves a sharp instance as it is", async () => {
    const instance = sharp(path).resize(8).png();
    const before = await loadImage(instance);
    assert.equal(before.width, 8);
    const { info } = await instance.toBuffer({ resolveWithObject: true });
    assert.equal(info.format, "png");
  });

  describe("for every entry point", () => {
    let blip: NeuronBlip;
    before(async () => {
      blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    });
    after(() => blip.dispose());
    const short = { maxNewTokens: 3 };

    it("is answered about, ranked, streamed and encoded, with the cache and without", async () => {
      const answer = await blip.answer(path, "what is it?", short);
      await using uncached = await NeuronBlip.fromPretrained(model, { threads: 1, pictureCache: false });
      for (const [kind, make] of Object.entries(kinds)) {
        assert.deepEqual(await blip.answer(await make(), "what is it?", short), answer, kind);
        assert.deepEqual(await uncached.answer(await make(), "what is it?", short), answer, kind);
      }
      const stream = () => Readable.from([file]);
      const ranked = await blip.rank(path, "what is it?", ["dog", "cat"]);
      assert.deepEqual(await blip.rank(stream(), "what is it?", ["dog", "cat"]), ranked);
      let streamed = "";
      for await (const piece of blip.stream(stream(), "what is it?", short)) streamed += piece;
      assert.equal(streamed, answer.answer);
      using encoded = await blip.encodeImage(new Response(file));
      assert.deepEqual(await blip.answer(encoded, "what is it?", short), answer);
    });

    it("is answered about in lists, also where one stream is in them several times", async () => {
      const expectedAnswers = await blip.answer([path, path], "what is it?", short);
      const [stream, response] = [Readable.from([file]), new Response(file)];
      assert.deepEqual(await blip.answer([stream, stream], "what is it?", short), expectedAnswers);
      const others = Array.from({ length: 40 }, (_, i) => ({ data: new Uint8Array(12).fill(i), width: 2, height: 2 }));
      const answers = await blip.answer([response, ...others, response], "what is it?", short);
      assert.deepEqual([answers[0], answers.at(-1)], expectedAnswers);
      const again = webStream([file]).stream as ReadableStream<Uint8Array>;
      const values = await blip.processor.processImages([again, path, again]);
      const one = values.size / 3;
      assert.deepEqual(values.data.slice(0, one), values.data.slice(2 * one));
      assert.deepEqual(values.data.slice(0, one), values.data.slice(one, 2 * one));
    });

    it("is captioned, and asked about by a pipeline", async () => {
      await using captioner = await NeuronBlip.fromPretrained(captions, { threads: 1 });
      const caption = await captioner.caption(path, short);
      assert.deepEqual(await captioner.caption(new Blob([file]), short), caption);
      await using ask = await pipeline("visual-question-answering", model, { threads: 1 });
      const answers = await ask([Readable.from([file])], ["dog?", "cat?"]);
      assert.deepEqual(answers, await ask([path], ["dog?", "cat?"]));
      const { stream } = webStream([file]);
      assert.deepEqual(await ask({ image: stream as ReadableStream<Uint8Array>, question: "dog?" }), answers[0]);
    });
  });

  describe("that cannot be taken", () => {
    const rejects = async (
      source: unknown,
      code: Parameters<typeof fails>[0],
      message: RegExp,
      options: LoadImageOptions = {},
    ) => {
      const error = await loadImage(source as ImageSource, options).then(
        () => assert.fail(`was taken: ${message}`),
        (error) => error,
      );
      assert(fails(code, message)(error));
      assert((error as Error).message.length <= 1000, `a message of ${error.message.length} characters`);
    };

    it("is named by what it is", async () => {
      class Painting {}
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      for (const [source, message] of [
        [undefined, /not undefined/],
        [null, /not null/],
        [7, /not a number/],
        [7n, /not a bigint/],
        [Symbol("picture"), /not a symbol/],
        [() => {}, /not a function/],
        [{}, /not an empty object/],
        [[path], /not an array of 1/],
        [new Painting(), /class Painting/],
        [{ path: "a.png", filename: "b" }, /an object with path, filename/],
        [Promise.resolve(file), /not a Promise \(await it first\)/],
        [new Float32Array(3), /class Float32Array/],
        [new Map(), /class Map/],
        [proxy, /cannot be read|does not show/],
        [
          {
            get data() {
              throw new Error("hidden");
            },
            width: 1,
            height: 1,
          },
          /cannot be read: hidden/,
        ],
        [{ bitmap: null }, /Uint8Array/],
        [{ buffer: "text" }, /\{ buffer \} must be a Buffer.*a string/],
        [{ data: file, info: {} }, /info\.format/],
        [{ data: [1], info: { format: "png" } }, /png file as a Buffer.*an array of 1/],
        [{ data: new Uint8Array(2), info: { format: "raw", width: 1, height: 1, channels: 1 } }, /not 2/],
        [
          { data: new Uint8Array(2), info: { format: "raw", width: 1, height: 1, channels: 1, depth: "ushort" } },
          /depth ushort/,
        ],
        [{ data: new Uint8Array(5), width: 1, height: 1 }, /not 5/],
        ["", /empty string/],
        ["ftp://example.com/a.png", /ftp:, which is not read/],
        [new URL("blob:nodedata:1"), /blob:, which is not read/],
        ["file://host/a.png", /names no file/],
        ["http://", /no valid URL/],
        [{ href: "nonsense", protocol: "http:" }, /not valid/],
        ["data:image/png;base64", /no comma/],
        [Readable.from(["text"]), /must come as bytes; it gave a string/],
        [webStream(["text"]).stream, /must come as bytes; it gave a string/],
      ] as [unknown, RegExp][]) {
        await rejects(source, "INVALID_INPUT", message);
      }
    });

    it("is cut in the message, however long it is", async () => {
      const long = "A".repeat(2 ** 23);
      await rejects(long, "INVALID_IMAGE", /too long for a path/);
      await rejects(
        `data:image/png;base64,${long}`,
        "INVALID_IMAGE",
        /in the data: URL \(image\/png;base64, 8388630 char/,
      );
      await rejects(`data:${long}`, "INVALID_INPUT", /no comma/);
      await rejects(`https://example.com/${long}`, "INVALID_INPUT", /fetch: false/, { fetch: false });
      await rejects({ [long]: 1 }, "INVALID_INPUT", /an object with A/);
      await rejects(Readable.from(sends(new Error(long))), "INVALID_IMAGE", /broke off/);
      const fetchThatFails = () => Promise.reject(new Error(long));
      await rejects("https://example.com/", "INVALID_IMAGE", /cannot be fetched/, { fetch: fetchThatFails });
    });

    it("is empty: a file, a buffer, a stream, a Response, a data: URL", async () => {
      for (const source of [
        Buffer.alloc(0),
        new Blob([]),
        Readable.from([]),
        webStream([]).stream,
        new Response(null),
        "data:,",
      ]) {
        await rejects(source, "INVALID_IMAGE", /is empty \(0 bytes\)/);
      }
    });

    it("is no base64, or ends too early", async () => {
      await rejects("data:;base64,iVBORw0KGgo*AAAA", "INVALID_IMAGE", /base64/);
      await rejects("data:;base64,iVBOR", "INVALID_IMAGE", /base64/);
    });

    it("was read before, is locked, or was destroyed", async () => {
      const read = new Response(file);
      await read.arrayBuffer();
      await rejects(read, "INVALID_INPUT", /read before/);
      const locked = new Response(file);
      locked.body?.getReader();
      await rejects(locked, "INVALID_INPUT", /is locked/);
      const { stream } = webStream([file]);
      await loadImage(stream as ReadableStream<Uint8Array>);
      await rejects(stream, "INVALID_INPUT", /was read before/);
      const readable = Readable.from([file]);
      await loadImage(readable);
      await rejects(readable, "INVALID_INPUT", /has ended or was destroyed/);
      const handle = await open(path);
      await handle.close();
      await rejects(handle, "INVALID_IMAGE", /cannot be read/);
    });

    it("breaks off", async () => {
      const broken = new PassThrough();
      broken.write(file.subarray(0, 100));
      setImmediate(() => broken.destroy());
      await rejects(broken, "INVALID_IMAGE", /broke off: it was closed before its end/);
      await rejects(Readable.from(sends(new Error("unplugged"))), "INVALID_IMAGE", /broke off: unplugged/);
      const { stream } = webStream([]);
      const failing = stream.pipeThrough(new TransformStream({ flush: () => Promise.reject(new Error("unplugged")) }));
      await rejects(failing, "INVALID_IMAGE", /broke off: unplugged/);
      respond = (_, response) => {
        response.writeHead(200, { "content-length": file.length }).write(file.subarray(0, 50));
        setImmediate(() => response.destroy());
      };
      await rejects(`${origin}/picture.png`, "INVALID_IMAGE", /broke off|cannot be fetched/);
    });

    it("has a status that is not a success", async () => {
      await rejects(`${origin}/none.png`, "INVALID_IMAGE", /none\.png" was not sent: the server's status is 404/);
      await rejects(new Response("gone", { status: 410 }), "INVALID_IMAGE", /status is 410/);
    });

    it("is fetched by something that gives no Response", async () => {
      for (const given of [undefined, {}, "text"]) {
        const fetchWrongly = async () => given as unknown as Response;
        await rejects("https://example.com/", "INVALID_INPUT", /fetch must resolve with a Response/, {
          fetch: fetchWrongly,
        });
      }
    });

    it("has more bytes than maxBytes: declared ones are not read, others no further", async () => {
      const limit = { maxBytes: file.length - 1 };
      await rejects(base64(file), "IMAGE_TOO_LARGE", /more than the limit of \d+ bytes/, limit);
      await rejects(escaped(file), "IMAGE_TOO_LARGE", /limit of/, limit);
      await rejects(`${origin}/picture.png`, "IMAGE_TOO_LARGE", /limit of/, limit);
      await rejects(new Response(file), "IMAGE_TOO_LARGE", /limit of/, limit);
      const endless = webStream(Array.from({ length: 2 ** 15 }, () => file));
      await rejects(endless.stream, "IMAGE_TOO_LARGE", /limit of 33554432 bytes/);
      assert("cancelled" in endless.seen);
      const readable = Readable.from(forever());
      await rejects(readable, "IMAGE_TOO_LARGE", /limit of 33554432 bytes/);
      assert(readable.destroyed);
      let wasRead = false;
      const body = new ReadableStream(
        {
          pull: () => {
            wasRead = true;
          },
        },
        { highWaterMark: 0 },
      );
      const declared = new Response(body, { headers: { "content-length": String(2 ** 40) } });
      await rejects(declared, "IMAGE_TOO_LARGE", /limit of/);
      assert.equal(wasRead, false);
      for (const exact of [base64(file), new Response(file), Readable.from([file])]) {
        assert.equal((await loadImage(exact, { maxBytes: file.length })).width, 45);
      }
      // What is in memory or a file is not held to it.
      assert.equal((await loadImage(file, limit)).width, 45);
      assert.equal((await loadImage(path, limit)).width, 45);
    });

    it("does not come in time: the stream is let go of", async () => {
      const limits = { maxBytes: 1000, timeLimitMs: 20 };
      const web = webStream([file.subarray(0, 10)], { ends: false });
      await assert.rejects(readStream(web.stream, "It", limits), fails("INVALID_IMAGE", /did not come within 0\.02 s/));
      assert("cancelled" in web.seen);
      const node = new PassThrough();
      await assert.rejects(readStream(node, "It", limits), fails("INVALID_IMAGE", /did not come within/));
      assert(node.destroyed);
    });

    it("is aborted while it comes: requests and streams are let go of, and no listener stays", async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const closed = new Promise<void>((resolve) => {
        respond = (request, response) => {
          response.writeHead(200).write(file.subarray(0, 50));
          request.socket.once("close", () => resolve());
        };
      });
      const web = webStream([file.subarray(0, 10)], { ends: false });
      const node = new PassThrough();
      node.write(file.subarray(0, 10));
      const body = webStream([file.subarray(0, 10)], { ends: false });
      const late = webStream([file], { ends: false });
      const fetchDeafly = () =>
        new Promise<Response>((resolve) => {
          signal.addEventListener("abort", () =>
            setImmediate(() => resolve(new Response(late.stream as ReadableStream<Uint8Array>))),
          );
        });
      const loading = [
        loadImage(`${origin}/slow`, { signal }),
        loadImage(web.stream as ReadableStream<Uint8Array>, { signal }),
        loadImage(node, { signal }),
        loadImage(new Response(body.stream as ReadableStream<Uint8Array>), { signal }),
        loadImage("http://example.com/", { signal, fetch: fetchDeafly }),
      ];
      const outcomes = Promise.allSettled(loading);
      while (requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error("enough"));
      for (const outcome of await outcomes) {
        assert(outcome.status === "rejected");
        assert(fails("ABORTED")(outcome.reason));
        assert.equal((outcome.reason as Error).cause, signal.reason);
      }
      await closed;
      assert("cancelled" in web.seen && "cancelled" in body.seen && node.destroyed);
      while (!("cancelled" in late.seen)) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(getEventListeners(signal, "abort").length, 1); // the test's own
    });
  });

  describe("from a stranger, with fetch: false and files: false", () => {
    const closed = { fetch: false, files: false } as const;

    it("is neither read from disk nor fetched, whatever it says", async () => {
      await using handle = await open(path);
      const url = pathToFileURL(path);
      await using blip = await NeuronBlip.fromPretrained(model, { threads: 1, ...closed });
      await using uncached = await NeuronBlip.fromPretrained(model, { threads: 1, pictureCache: false, ...closed });
      const processor = await BlipProcessor.fromPretrained(model, closed);
      const strings = [
        path,
        url,
        url.href,
        url.href.replace("file:", "FILE:"),
        handle,
        `${origin}/picture.png`,
        new URL(origin),
        "a",
      ];
      const likeUrls = [
        { href: url.href, protocol: "data:" },
        { href: `${origin}/picture.png`, protocol: "data:" },
      ];
      for (const source of [...strings, ...likeUrls] as ImageSource[]) {
        const refused = fails("INVALID_INPUT", /files: false|fetch: false/);
        await assert.rejects(loadImage(source, closed), refused);
        await assert.rejects(processor.processImages(source), refused);
        await assert.rejects(blip.answer(source, "dog?"), refused);
        await assert.rejects(uncached.answer([source], "dog?"), refused);
        await assert.rejects(blip.encodeImage(source), refused);
      }
      assert.equal(requests.length, 0);
      const { answer } = await blip.answer(base64(file), "dog?", { maxNewTokens: 2 });
      assert.equal(typeof answer, "string");
      assert.equal((await loadImage(file, closed)).width, 45);
    });

    it("is fetched by the function that was given at load", async () => {
      const asked: string[] = [];
      const fetchOwn = async (url: string) => {
        asked.push(url);
        return new Response(file);
      };
      await using blip = await NeuronBlip.fromPretrained(model, { threads: 1, fetch: fetchOwn });
      await blip.answer("https://pictures.example/1.png", "dog?", { maxNewTokens: 2 });
      assert.deepEqual(asked, ["https://pictures.example/1.png"]);
      const processor = await BlipProcessor.fromPretrained(model, { fetch: fetchOwn });
      await processor.processImages(new URL("https://pictures.example/2.png"));
      assert.equal(asked.length, 2);
    });

    it("has options that are checked", async () => {
      for (const options of [
        { fetch: true },
        { fetch: "no" },
        { files: "no" },
        { maxBytes: 0 },
        { maxBytes: "9" },
        { maxBytes: Number.NaN },
      ]) {
        const given = options as unknown as LoadImageOptions;
        const refused = fails("INVALID_INPUT", /(fetch|files|maxBytes) must be/);
        await assert.rejects(loadImage(file, given), refused);
        await assert.rejects(NeuronBlip.fromPretrained(model, given), refused);
      }
    });
  });
});

// biome-ignore lint/correctness/useYield: it fails before its first piece
async function* sends(error: Error): AsyncGenerator<Buffer> {
  throw error;
}

async function* forever(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(2 ** 20);
}
