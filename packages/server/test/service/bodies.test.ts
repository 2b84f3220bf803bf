import assert from "node:assert/strict";
import { assertAnswers, assertProblem, post } from "./helpers/asking.js";
import { figure, mib, tally } from "./helpers/figures.js";
import { answerPath, picture, picturePath, plainPng } from "./helpers/pictures.js";
import { until } from "./helpers/ports.js";
import { exchange, exchangeOne, requestBytes } from "./helpers/raw.js";
import { ServerProcess } from "./helpers/server-process.js";

const MIB = 2 ** 20;
const png = { "content-type": "image/png" };

/** A JPEG, a GIF and a BMP that say that they are as large as their format allows, with nothing in them. */
const HUGE = {
  jpeg: Buffer.from("ffd8ffc0000b08ffffffff01011100ffda0008010100003f00", "hex"),
  gif: Buffer.concat([
    Buffer.from("GIF89a"),
    Buffer.from("ffffffff800000000000ffffff2c00000000ffffffff0002024401003b", "hex"),
  ]),
  bmp: Buffer.from(`424d4600000000000000360000002800000000800000008000000100180000000000${"00".repeat(20)}`, "hex"),
};

describe("bad bodies", () => {
  let server: ServerProcess;
  before(async () => {
    server = await ServerProcess.start({ args: ["--timeout", "5000"] });
    await assertAnswers(server.url);
  });
  after(() => server?.[Symbol.asyncDispose]());
  afterEach(async () => {
    assert.equal(server.hasEnded, false, server.output);
    await assertAnswers(server.url);
  });

  /** The most memory that the server takes while something happens, beyond what it had. */
  const growthWhile = async (act: () => Promise<void>): Promise<number> => {
    const before = server.rss();
    let most = before;
    const sampling = setInterval(() => {
      most = Math.max(most, server.rss());
    }, 20);
    try {
      await act();
    } finally {
      clearInterval(sampling);
    }
    return most - before;
  };

  it("are refused where a picture of some KB says that it has more pixels than allowed, without memory for them", async () => {
    const bombs = {
      "1-bit PNG of 900 MP": plainPng(30_000, 30_000),
      "PNG of 20 MP and a row": plainPng(5000, 4001),
      ...HUGE,
    };
    const outcomes: string[] = [];
    const growth = await growthWhile(async () => {
      for (const [name, body] of Object.entries(bombs)) {
        const responses = await Promise.all(
          Array.from({ length: 8 }, () => post(server.url, { body: Uint8Array.from(body) })),
        );
        for (const response of responses) {
          outcomes.push(`${name} ${response.status} ${JSON.parse(await response.clone().text()).code}`);
          await assertProblem(response, response.status === 422 ? 422 : 413, /^(IMAGE_TOO_LARGE|INVALID_IMAGE)$/);
        }
      }
    });
    figure("pixel bombs", `${tally(outcomes)}; memory grew by ${mib(growth)}`);
    assert(
      outcomes.some((outcome) => outcome.startsWith("1-bit PNG of 900 MP 413 IMAGE_TOO_LARGE")),
      tally(outcomes),
    );
    assert(growth <= 100 * MIB, `the server grew by ${mib(growth)}`);
  });

  it("are refused where they have 21 MB, whatever their form, without keeping them", async () => {
    const large = Buffer.alloc(21_000_000, "A");
    const multipart = Buffer.concat([
      Buffer.from(
        '--b\r\ncontent-disposition: form-data; name="picture"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n',
      ),
      large,
      Buffer.from("\r\n--b--\r\n"),
    ]);
    const json = Buffer.from(JSON.stringify({ picture: large.toString(), questions: ["q"] }));
    const chunked = Buffer.concat([
      Buffer.from(`${large.length.toString(16)}\r\n`),
      large,
      Buffer.from("\r\n0\r\n\r\n"),
    ]);
    const requests = {
      raw: requestBytes("POST", answerPath(), png, large),
      chunked: requestBytes("POST", answerPath(), { ...png, "transfer-encoding": "chunked" }, chunked),
      multipart: requestBytes("POST", answerPath(), { "content-type": "multipart/form-data; boundary=b" }, multipart),
      JSON: requestBytes("POST", "/answer", { "content-type": "application/json" }, json),
    };
    const outcomes: string[] = [];
    const growth = await growthWhile(async () => {
      for (const [name, bytes] of Object.entries(requests)) {
        const replies = await Promise.all(Array.from({ length: 4 }, () => exchangeOne(server.port, bytes)));
        for (const { status, body, contentType } of replies) {
          const code = body === "" ? "" : JSON.parse(body).code;
          outcomes.push(`${name} ${status} ${code}`);
          // Of a body that may have no end the rest is not read, whose sender may find the connection reset and no reply.
          if (name === "chunked" && status === 0) continue;
          assert.equal(`${status} ${code}`, "413 BODY_TOO_LARGE", `${name}: ${body}`);
          assert.match(contentType, /^application\/problem\+json/);
        }
      }
    });
    figure("bodies of 21 MB", `${tally(outcomes)}; memory grew by ${mib(growth)}`);
    assert(growth <= 150 * MIB, `the server grew by ${mib(growth)}`);
  });

  it("are refused, or waited for no longer than the timeout, where their length is not what the headers say", async () => {
    const withLength = (length: string | number, body: Buffer = picture) =>
      requestBytes("POST", answerPath(), { ...png, "content-length": length }, body);
    const twice = (first: string, second: string) =>
      Buffer.concat([
        Buffer.from(
          `POST ${answerPath()} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/png\r\n${first}\r\n${second}\r\n\r\n`,
        ),
        picture,
      ]);
    const length = `content-length: ${picture.length}`;
    const chunks = (text: string) =>
      requestBytes("POST", answerPath(), { ...png, "transfer-encoding": "chunked" }, text);
    // The statuses of the replies that may come.
    const lies: [string, Buffer, RegExp][] = [
      ["longer than said", withLength(picture.length - 100), /^((200|422) )?400$/],
      ["shorter than said", withLength(picture.length + 1000), /^408$|^504$/],
      ["empty", withLength(0, Buffer.alloc(0)), /^400$/],
      ["more than all disks hold", withLength("999999999999999999999"), /^(400|413)$/],
      ["10 GB", withLength(1e10), /^413$/],
      ["negative", withLength(-1), /^400$/],
      ["no number", withLength("12x"), /^400$/],
      ["hexadecimal", withLength("0x10"), /^400$/],
      ["two lengths", twice(length, "content-length: 5"), /^400$/],
      ["length and chunked", twice(length, "transfer-encoding: chunked"), /^400$/],
      ["chunked, written otherwise", twice(length, "transfer-encoding : chunked"), /^400$/],
      ["chunked twice", twice("transfer-encoding: chunked", "transfer-encoding: identity"), /^400$/],
      ["a chunk's size that is none", chunks("zz\r\nabc\r\n0\r\n\r\n"), /^400$/],
      ["a chunk larger than memory", chunks("ffffffffffffffff\r\nabc"), /^(400|408|413|504)$/],
      ["a chunk longer than said", chunks("3\r\nabcdef\r\n0\r\n\r\n"), /^400$/],
      ["no end of chunks", chunks("3\r\nabc\r\n"), /^(408|504)$/],
    ];
    const outcomes = await Promise.all(
      lies.map(async ([name, bytes, allowed]) => {
        const replies = await exchange(server.port, bytes, 20_000);
        const statuses = replies.map(({ status }) => status).join(" ");
        assert.match(statuses, allowed, `${name}: ${replies.map(({ body }) => body).join(" ")}`);
        for (const { status, contentType } of replies) {
          if (status >= 400) assert.match(contentType, /^application\/problem\+json/, name);
        }
        return `${name} ${statuses}`;
      }),
    );
    figure("lengths that are not so", outcomes.join("; "));
  });

  it("are never names of files to read", async () => {
    const directory = new URL(".", `file://${picturePath}`);
    const names = [
      picturePath,
      `file://${picturePath}`,
      `FILE://${picturePath}`,
      `file:${picturePath}`,
      `file://localhost${picturePath}`,
      `file://127.0.0.1${picturePath}`,
      ` file://${picturePath}`,
      `./demo/pictures/three-shapes.png`,
      `demo/pictures/three-shapes.png`,
      new URL("three-shapes.png", directory).href,
      "/etc/passwd",
      "/proc/self/environ",
      "/dev/zero",
      "/dev/stdin",
      "\\\\server\\share\\a.png",
    ];
    const statuses: number[] = [];
    for (const name of names) {
      const form = new FormData();
      form.append("picture", name);
      form.append("question", "q");
      const bodies: [string, string | FormData][] = [
        ...[name, { url: name }, { base64: name }, { file: name }, { path: name }].map(
          (asPicture): [string, string] => [
            "application/json",
            JSON.stringify({ picture: asPicture, questions: ["q"] }),
          ],
        ),
        ["", form],
        ["text/plain", name],
        ["image/png", name],
      ];
      for (const [contentType, body] of bodies) {
        const headers: Record<string, string> = contentType === "" ? {} : { "content-type": contentType };
        const path = body instanceof FormData || contentType === "application/json" ? "/answer" : answerPath();
        const response = await fetch(`${server.url}${path}`, { method: "POST", headers, body });
        statuses.push(response.status);
        const text = await response.text();
        assert(
          response.status >= 400 && response.status < 500,
          `${name} as ${contentType}: ${response.status} ${text}`,
        );
        assert.doesNotMatch(text, /root:|PATH=/);
      }
    }
    figure("paths and file: strings", `${statuses.length} requests: ${tally(statuses)}`);
  });

  it("leave no descriptor open", async () => {
    const before = server.descriptors();
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        exchange(server.port, requestBytes("POST", "/answer", png, picture.subarray(i))),
      ),
    );
    await until("the descriptors are closed", () => server.descriptors() <= before + 4, 8000);
  });
});
