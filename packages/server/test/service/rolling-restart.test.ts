import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import { figure, median, percentile, tally } from "./helpers/figures.js";
import { LoadProcess } from "./helpers/load.js";
import { answerPath } from "./helpers/pictures.js";
import { freePort } from "./helpers/ports.js";
import { type ProxyProcess, startHaproxy, startNginx } from "./helpers/proxies.js";
import { ServerProcess } from "./helpers/server-process.js";

const PROXIES: [string, (ports: readonly number[]) => Promise<ProxyProcess>][] = [
  ["HAProxy", startHaproxy],
  ["nginx", startNginx],
];

describe("a rolling restart under load", () => {
  const servers: ServerProcess[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
  });

  for (const [name, start] of PROXIES) {
    it(`loses no request behind ${name}`, async () => {
      const ports = [await freePort(), await freePort()];
      const running = new Map<number, ServerProcess>();
      const begin = async (port: number) => {
        const server = await ServerProcess.start({ port });
        servers.push(server);
        running.set(port, server);
      };
      for (const port of ports) await begin(port);
      await using proxy = await start(ports);
      for (const port of ports) await proxy.untilInUse(port);
      await using load = new LoadProcess();
      const result = load.run({ url: `${proxy.url}${answerPath()}`, arrivals: { perSecond: 40 }, seconds: 100 });
      await wait(1000);
      for (const port of ports) {
        const old = running.get(port);
        assert(old !== undefined);
        old.terminate();
        assert.deepEqual(await old.exit, { code: 0, signal: null }, old.output);
        await begin(port);
        await proxy.untilInUse(port);
      }
      await wait(1000);
      load.stop();
      const { sent } = await result;
      const lost = sent.filter(({ status }) => status !== 200);
      const times = sent.map(({ ms }) => ms);
      figure(
        `behind ${name}`,
        `${lost.length} of ${sent.length} requests lost; median ${median(times).toFixed(0)} ms, p99 ${percentile(times, 0.99).toFixed(0)} ms`,
      );
      assert(sent.length >= 300, `only ${sent.length} requests were sent`);
      assert.equal(lost.length, 0, tally(lost.map(({ status, code }) => `${status} ${code}`)));
    });
  }
});
