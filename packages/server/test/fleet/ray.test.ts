// deploy/ray/batch_answers.py: Ray Data asks two servers about a thousand pictures.
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { NeuronBlip } from "neuron-blip";
import { packagesEnvironment } from "../../../../scripts/parity/python-environment.mjs";
import { Child } from "../service/helpers/child.js";
import { figure } from "../service/helpers/figures.js";
import { portOf } from "../service/helpers/ports.js";
import { demoModel, root, ServerProcess } from "../service/helpers/server-process.js";

const QUESTIONS = ["what is in the picture?", "how many shapes are there?"];
const COUNT = 1000;
const script = join(root, "deploy", "ray", "batch_answers.py");
const onThisHost = fileURLToPath(new URL("helpers/ray_on_this_host.py", import.meta.url));

interface Row {
  readonly path: string;
  readonly answers: readonly string[];
  readonly error: string | null;
}

describe("deploy/ray/batch_answers.py", function () {
  this.timeout(180_000);
  let python: string;
  before(async function () {
    this.timeout(600_000);
    const lines = readFileSync(join(root, "deploy", "ray", "requirements.txt"), "utf8")
      .trim()
      .split("\n");
    python = await packagesEnvironment("ray", lines, "0.6 GB");
  });

  it("has every picture answered once, as the library answers it, also where a server is busy at first or not there", async () => {
    const directory = mkdtempSync(join(tmpdir(), "nb-ray-"));
    let refusals = 0;
    const busy = createServer((request, response) => {
      request.resume();
      refusals++;
      response.writeHead(503, { "retry-after": "1", connection: "close" }).end();
    }).listen(0, "127.0.0.1");
    try {
      await once(busy, "listening");
      const pictures = join(directory, "pictures");
      mkdirSync(pictures);
      const demo = readdirSync(join(root, "demo", "pictures")).map((name) => join(root, "demo", "pictures", name));
      const sourceOf = (i: number) => demo[i % demo.length] ?? assert.fail();
      for (let i = 0; i < COUNT; i++) copyFileSync(sourceOf(i), join(pictures, `${i}.png`));
      copyFileSync(script, join(pictures, "none.png"));

      await using first = await ServerProcess.start({ args: ["--threads", "1"] });
      await using second = await ServerProcess.start({ args: ["--threads", "1"] });
      const away = "http://127.0.0.1:9";
      const servers = [first.url, second.url, `http://127.0.0.1:${portOf(busy)}`, away];
      const began = performance.now();
      await using ray = new Child(
        python,
        [
          ...[onThisHost, directory, script, "--pictures", pictures, "--output", join(directory, "output")],
          ...servers.flatMap((url) => ["--server", url]),
          ...QUESTIONS.flatMap((question) => ["--question", question]),
        ],
        {
          cwd: directory,
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, RAY_USAGE_STATS_ENABLED: "0" },
        },
      );
      assert.deepEqual(await ray.exit, { code: 0, signal: null }, ray.output);
      figure(`Ray Data, ${COUNT} pictures over 2 servers`, `${((performance.now() - began) / 1000).toFixed(0)} s`);

      const rows = readdirSync(join(directory, "output"))
        .filter((name) => name.endsWith(".json"))
        .flatMap((name) =>
          readFileSync(join(directory, "output", name), "utf8")
            .trim()
            .split("\n"),
        )
        .map((line): Row => JSON.parse(line));
      const byName = new Map(rows.map((row) => [basename(row.path), row]));
      assert.equal(rows.length, COUNT + 1);
      assert.equal(byName.size, COUNT + 1);
      assert.equal(byName.get("none.png")?.error, "INVALID_IMAGE");
      assert(refusals > 0, "nobody asked the busy one");

      await using blip = await NeuronBlip.fromPretrained(demoModel, { threads: 1 });
      const answers = await Promise.all(demo.map((path) => blip.answer(path, QUESTIONS)));
      for (let i = 0; i < COUNT; i++) {
        const row = byName.get(`${i}.png`);
        assert.equal(row?.error, null);
        assert.deepEqual(
          row?.answers,
          answers[i % demo.length]?.map(({ answer }) => answer),
        );
      }
    } finally {
      busy.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
