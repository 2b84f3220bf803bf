/** HTTP by hand, for what no client would send. */
import { connect, type Socket } from "node:net";

export interface RawReply {
  /** 0: none came. */
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const NO_REPLY: RawReply = { status: 0, contentType: "", body: "" };

/** A connection on which nothing fails loudly. */
export function open(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  return socket;
}

/**
 * Sends bytes as they are.
 * @param mostMs where no whole reply is there by then, the connection is cut.
 * @returns the replies, in their order; several where the bytes were taken for several requests.
 */
export function exchange(port: number, bytes: Buffer | string, mostMs = 10_000): Promise<RawReply[]> {
  return new Promise((resolve) => {
    const socket = open(port);
    const chunks: Buffer[] = [];
    const isHead = Buffer.from(bytes).toString("latin1", 0, 5) === "HEAD ";
    const parsed = () => parse(Buffer.concat(chunks), isHead);
    const timer = setTimeout(() => socket.destroy(), mostMs);
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      const { isWhole, isLast } = parsed();
      if (isWhole && isLast) socket.destroy();
    });
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(parsed().replies);
    });
    socket.write(bytes);
  });
}

/** The first reply. */
export async function exchangeOne(port: number, bytes: Buffer | string, mostMs?: number): Promise<RawReply> {
  const [first = NO_REPLY] = await exchange(port, bytes, mostMs);
  return first;
}

/** @returns what came so far: whether the last reply is whole, and whether the server said that it closes after it. */
function parse(bytes: Buffer, isHead: boolean): { replies: RawReply[]; isWhole: boolean; isLast: boolean } {
  const replies: RawReply[] = [];
  let isLast = true;
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) return { replies, isWhole: false, isLast };
    const head = bytes.toString("latin1", at, end);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0);
    const contentType = field(head, "content-type");
    const start = end + 4;
    const isBodyless = isHead || status === 204 || status === 304 || status < 200;
    const length = field(head, "content-length");
    let stop = start;
    if (isBodyless) stop = start;
    else if (/chunked/i.test(field(head, "transfer-encoding"))) {
      const last = bytes.indexOf("0\r\n\r\n", start);
      stop = last < 0 ? bytes.length + 1 : last + 5;
    } else stop = length === "" ? bytes.length + 1 : start + Number(length);
    const body = bytes.toString("utf8", start, stop);
    replies.push({ status, contentType, body: body === "0\r\n\r\n" ? "" : body });
    isLast = status >= 200;
    if (stop > bytes.length) return { replies, isWhole: false, isLast };
    at = stop;
  }
  return { replies, isWhole: replies.length > 0, isLast };
}

function field(head: string, name: string): string {
  return new RegExp(`^${name}:\\s*(.*?)\\s*$`, "im").exec(head)?.[1] ?? "";
}

/** A request's bytes, with its length as it is unless the headers say another. */
export function requestBytes(
  method: string,
  path: string,
  headers: Readonly<Record<string, string | number>>,
  body: Buffer | string = "",
): Buffer {
  const content = Buffer.from(body);
  const hasLength = Object.keys(headers).some((name) => /^(content-length|transfer-encoding)$/i.test(name));
  const all = { host: "127.0.0.1", ...(hasLength ? {} : { "content-length": content.length }), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"), content]);
}
