// The parts of `neuron-blip batch`: which lines are whose, what a line says, and an output that is gone on with.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { BatchError } from "../../dist/tools/batch/batch-error.js";
import { openInput } from "../../dist/tools/batch/input.js";
import { linesOf } from "../../dist/tools/batch/lines.js";
import { InUseError, Lock } from "../../dist/tools/batch/lock.js";
import { PartFile } from "../../dist/tools/batch/part-file.js";
import { readRequest } from "../../dist/tools/batch/request.js";
import { belongsTo, readShard } from "../../dist/tools/batch/shard.js";
import { beginOf, place } from "../../dist/util/processes.js";

const one = { index: 1, count: 1 };
const facts = { input: "i", shard: "1/1", model: "m", questions: ["q"], options: {} };

/** The number of a process that has ended. */
const ended = spawnSync(process.execPath, ["-e", ""]).pid;

describe("batch", () => {
  let directory = "";

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-batch-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  describe("shards", () => {
    it("take each line once, in even shares", () => {
      const ids = Array.from({ length: 6000 }, (_, i) => (i % 2 ? i : `pictures/${i}.jpg`));
      const shares = [1, 2, 3].map((index) => ids.filter((id) => belongsTo({ index, count: 3 }, id)));
      assert.equal(shares.flat().length, ids.length);
      assert.equal(new Set(shares.flat()).size, ids.length);
      for (const share of shares) assert(share.length > 1850 && share.length < 2150, `${share.length}`);
    });

    it("are those of earlier versions, so that a run can be gone on with after an upgrade", () => {
      const shardOf = (id: string | number) => [1, 2, 3, 4].find((index) => belongsTo({ index, count: 4 }, id));
      assert.deepEqual(["a", "b", "dog.jpg", 7, "7"].map(shardOf), [4, 2, 2, 1, 1]);
    });

    it("are named from 1, and by an Indexed Job's environment, which counts from 0", () => {
      assert.deepEqual(readShard("2/3", {}), { index: 2, count: 3 });
      assert.deepEqual(readShard("auto/3", { JOB_COMPLETION_INDEX: "0" }), { index: 1, count: 3 });
      assert.deepEqual(readShard("auto/3", { JOB_COMPLETION_INDEX: "2" }), { index: 3, count: 3 });
      for (const [text, index] of [["0/3"], ["4/3"], ["1"], ["a/3"], ["1/0"], ["auto/3"], ["auto/3", "3"]] as const) {
        assert.throws(() => readShard(text, index === undefined ? {} : { JOB_COMPLETION_INDEX: index }), BatchError);
      }
    });
  });

  describe("lines", () => {
    const read = async (pieces: string[], most = 10) => {
      const lines: unknown[] = [];
      for await (const { bytes, end, isWhole } of linesOf(Readable.from(pieces.map((p) => Buffer.from(p))), most)) {
        lines.push([bytes?.toString(), end, isWhole]);
      }
      return lines;
    };

    it("are found wherever the pieces of a file end, with what the last lacks", async () => {
      const whole = [
        ["one", 4, true],
        ["", 5, true],
        ["three", 11, true],
        ["4", 12, false],
      ];
      assert.deepEqual(await read(["one\n\nthree\n4"]), whole);
      assert.deepEqual(await read([..."one\n\nthree\n4"]), whole);
      assert.deepEqual(await read(["one\n"]), [["one", 4, true]]);
      assert.deepEqual(await read([]), []);
    });

    it("that are too long are passed over, and the next is read", async () => {
      assert.deepEqual(await read(["0123", "456789", "0123\nnext\n"]), [
        [undefined, 15, true],
        ["next", 20, true],
      ]);
    });
  });

  describe("a line of the input", () => {
    const read = (line: string) => readRequest(Buffer.from(line), 9, "/pictures");
    const asked = (line: string) => {
      const request = read(line);
      assert(!("error" in request), "error" in request ? request.error.message : "");
      return request;
    };

    it("names its picture from the input's directory, by URL or in itself", () => {
      assert.equal(asked('{"picture": "a.jpg"}').picture, "/pictures/a.jpg");
      assert.equal(asked('{"picture": {"file": "/b/a.jpg"}}').picture, "/b/a.jpg");
      assert.equal(asked('{"picture": {"file": "https://a"}}').picture, "/pictures/https:/a");
      assert.equal(asked('{"picture": {"url": "https://a/b"}}').picture, "https://a/b");
      assert.equal(asked('{"picture": "https://a/b"}').picture, "https://a/b");
      assert.deepEqual(asked('{"picture": {"base64": "AQI="}}').picture, Buffer.from([1, 2]));
    });

    it("has its own id, or its number", () => {
      assert.equal(asked('{"id": "x", "picture": "a"}').id, "x");
      assert.equal(asked('{"id": 3, "picture": "a"}').id, 3);
      assert.equal(asked('{"picture": "a"}').id, 9);
    });

    it("asks one question or several, with options", () => {
      assert.deepEqual(asked('{"picture": "a", "question": "why?"}').questions, ["why?"]);
      assert.deepEqual(asked('{"picture": "a", "questions": ["why?", "how?"]}').questions, ["why?", "how?"]);
      assert.deepEqual(asked('{"picture": "a", "options": {"numBeams": 3}}').options, { numBeams: 3 });
    });

    it("that is bad becomes an error under its id, and says what is wrong", () => {
      for (const [line, id, message] of [
        ["{", 9, /no JSON/],
        ["[]", 9, /must be an object/],
        ['{"id": {}, "picture": "a"}', 9, /^id is/],
        ['{"id": "x"}', "x", /no picture/],
        ['{"id": "x", "picture": {"file": "a", "url": "b"}}', "x", /one of file, url and base64/],
        ['{"id": "x", "picture": {"path": "a"}}', "x", /one of file, url and base64/],
        ['{"id": "x", "picture": {"url": "file:///a"}}', "x", /http:/],
        ['{"id": "x", "picture": {"base64": "AQ!I="}}', "x", /not base64/],
        ['{"id": "x", "picture": "a", "questions": []}', "x", /questions is/],
        ['{"id": "x", "picture": "a", "questions": [1]}', "x", /questions is/],
        ['{"id": "x", "picture": "a", "question": "a", "questions": ["b"]}', "x", /not both/],
        ['{"id": "x", "picture": "a", "qestion": "a"}', "x", /no field "qestion"/],
        ['{"id": "x", "picture": "a", "options": {"signal": 1}}', "x", /no field "signal"/],
      ] as const) {
        const request = read(line);
        assert("error" in request, line);
        assert.equal(request.error.code, "INVALID_INPUT");
        assert.match(request.error.message, message);
        assert.equal(request.id, id);
      }
    });
  });

  describe("an input", () => {
    it("is refused where it is no JSON Lines as a whole, or has no pictures", async () => {
      const file = join(directory, "input");
      for (const content of ['[{"picture": "a"}]', "id,picture\n1,a.jpg\n", "\x89PNG\n"]) {
        writeFileSync(file, content);
        await assert.rejects(openInput(file), BatchError);
      }
      await assert.rejects(openInput(directory), /has no pictures/);
      await assert.rejects(openInput(join(directory, "none")), BatchError);
    });

    it("has a line of its own for one that is too long, and none for blank ones", async () => {
      const file = join(directory, "input");
      writeFileSync(file, `\ufeff{"picture": "a"}\n\n{"picture": "${"b".repeat(33 * 2 ** 20)}"}\r\n{"picture": "c"}`);
      const input = await openInput(file);
      assert.equal(input.count, 3);
      const found: unknown[] = [];
      for await (const request of input.requests()) {
        found.push([request.id, "error" in request ? request.error.code : request.picture]);
      }
      assert.deepEqual(found, [
        [1, join(directory, "a")],
        [3, "INVALID_INPUT"],
        [4, join(directory, "c")],
      ]);
    });
  });

  describe("an output", () => {
    const open = async (restart = false, given = facts) => {
      const part = await PartFile.open(directory, one, given, restart);
      assert(part);
      return part;
    };
    const part = () => join(directory, "part-1-of-1.jsonl.part");

    it("is gone on with after its last whole line, and is there under its name when it is whole", async () => {
      const first = await open();
      await first.append('{"id":1}\n{"id":"b","error":{}}\n{"id":3}\n');
      await first.close();
      appendFileSync(part(), '{"id":4');
      const second = await open();
      const results: unknown[] = [];
      for (const id of [1, "b", 3, 4, 5]) results.push(await second.earlierResult(id));
      assert.deepEqual(results, ["done", "failed", "done", undefined, undefined]);
      await second.append('{"id":4}\n');
      await second.finish();
      await second.close();
      const whole = '{"id":1}\n{"id":"b","error":{}}\n{"id":3}\n{"id":4}\n';
      assert.equal(readFileSync(join(directory, "part-1-of-1.jsonl"), "utf8"), whole);
      assert(!existsSync(part()));
      assert.equal(await PartFile.open(directory, one, facts, false), undefined);
    });

    it("is believed no further than its lines are those of the input", async () => {
      for (const damaged of [
        '{"id":1}\n\0\0\0\n{"id":3}\n',
        '{"id":1}\n{"id":3}\n{"id":2}\n',
        '{"id":1}\n{"id":"2"}\n',
      ]) {
        const first = await open(true);
        await first.append(damaged);
        await first.close();
        const second = await open();
        for (const id of [1, 2, 3]) await second.earlierResult(id);
        await second.close();
        assert.equal(readFileSync(part(), "utf8"), '{"id":1}\n');
      }
    });

    it("of something else is refused, unless it is to begin anew", async () => {
      const first = await open();
      await first.append('{"id":1}\n');
      await first.close();
      const other = { ...facts, input: "another", questions: ["q", "r"] };
      await assert.rejects(PartFile.open(directory, one, other, false), (error: unknown) => {
        assert(error instanceof BatchError);
        assert.match(error.message, /different input, questions/);
        return true;
      });
      rmSync(join(directory, "part-1-of-1.json"));
      await assert.rejects(PartFile.open(directory, one, facts, false), BatchError);
      const anew = await open(true, other);
      assert.equal(await anew.earlierResult(1), undefined);
      await anew.close();
    });
  });

  describe("the lock of an output", () => {
    const path = () => join(directory, "lock");
    const write = (owner: object) => writeFileSync(path(), JSON.stringify(owner));

    it("is one process's at a time, and is given back", async () => {
      {
        await using lock = await Lock.take(path());
        await lock.check();
        await assert.rejects(Lock.take(path()), (error: unknown) => {
          assert(error instanceof InUseError);
          assert.match(error.message, new RegExp(`Process ${process.pid} on .* is writing this output`));
          return true;
        });
      }
      assert(!existsSync(path()));
    });

    it("is taken from a process that has ended, also where its number is another's by now", async () => {
      const begin = beginOf(process.pid);
      for (const owner of [
        { pid: ended, host: "here", place, begin },
        { pid: process.pid, host: "here", place, begin: `1${begin}` },
      ]) {
        write(owner);
        await using lock = await Lock.take(path());
        await lock.check();
      }
    });

    it("of another host is taken where nobody touches it, and left where somebody does", async () => {
      for (const owner of [{ pid: 1, host: "elsewhere", place: "another", begin: "1" }, {}]) {
        write(owner);
        await using lock = await Lock.take(path(), undefined, 20);
        await lock.check();
      }
      write({ pid: 1, host: "elsewhere", place: "another", begin: "1" });
      let beats = 0;
      const beat = setInterval(() => utimesSync(path(), 1, ++beats), 1);
      try {
        await assert.rejects(Lock.take(path(), undefined, 60_000), /Process 1 on elsewhere/);
      } finally {
        clearInterval(beat);
      }
    });

    it("that another has taken over is no longer ours, and stays the other's", async () => {
      {
        await using lock = await Lock.take(path());
        writeFileSync(`${path()}.other`, "{}");
        rmSync(path());
        writeFileSync(path(), JSON.stringify({ pid: 7, host: "elsewhere" }));
        await assert.rejects(lock.check(), /Process 7 on elsewhere/);
      }
      assert(existsSync(path()));
    });
  });
});
