import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { assertAnswers, post } from "./helpers/asking.js";
import { figure } from "./helpers/figures.js";
import { freePort } from "./helpers/ports.js";
import { pathOf } from "./helpers/programs.js";
import { ServerProcess } from "./helpers/server-process.js";

/** What operators build on. */
const METRICS = [
  "requests_total",
  "request_duration_seconds",
  "time_to_first_token_seconds",
  "queue_wait_seconds",
  "requests_waiting",
  "requests_running",
  "queue_limit",
  "replicas",
  "replica_failures_total",
  "batch_rows",
  "stage_seconds",
  "picture_cache_hits_total",
  "picture_cache_misses_total",
  "generated_tokens_total",
  "picture_bytes",
  "build_info",
].map((name) => `neuron_blip_${name}`);

function checkWithPromtool(metrics: string): void {
  const { status, stdout, stderr } = spawnSync(pathOf("promtool"), ["check", "metrics"], {
    input: metrics,
    encoding: "utf8",
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(`${stdout}${stderr}`.trim(), "");
}

describe("/metrics", () => {
  it("passes promtool's check, before and after requests of all outcomes, with every metric", async () => {
    await using server = await ServerProcess.start();
    const read = async () => (await fetch(`${server.url}/metrics`)).text();
    checkWithPromtool(await read());
    await assertAnswers(server.url);
    await assertAnswers(server.url);
    await (await post(server.url, { headers: { accept: "text/event-stream" } })).text();
    await post(server.url, { body: "no picture" });
    await post(server.url, { path: "/answer?question=" });
    await fetch(`${server.url}/none`);
    const metrics = await read();
    checkWithPromtool(metrics);
    const names = new Set([...metrics.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => name));
    assert.deepEqual(
      [...METRICS].filter((name) => !names.has(name)),
      [],
      "missing",
    );
    const series = metrics.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
    figure("/metrics", `${names.size} metrics with ${series} series pass promtool check metrics`);
    const [, answered] =
      /^neuron_blip_requests_total\{[^}]*outcome="(?:ok|success|200)"[^}]*\} (\d+)$/m.exec(metrics) ?? [];
    assert.equal(answered, "3", metrics);
  });

  it("are served on a port of their own where one is named", async () => {
    const port = await freePort();
    await using server = await ServerProcess.start({ args: ["--metrics-port", `${port}`] });
    await assertAnswers(server.url);
    checkWithPromtool(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
    assert.equal((await fetch(`${server.url}/metrics`)).status, 404);
  });
});
