// A registry on this host: it has the tarballs under test, and passes on what else is asked for from the registry that npm is set up for.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export interface Registry {
  readonly address: string;
  stop(): Promise<void>;
}

/**
 * Starts verdaccio with an empty storage, and publishes tarballs to it.
 * @param tools where npm packages are; see fetchTools
 * @param directory for its files, which is made
 */
export async function startRegistry(tools: string, directory: string, tarballs: readonly string[]): Promise<Registry> {
  mkdirSync(directory, { recursive: true });
  const node = join(tools, "node-24/bin/node");
  const port = await freePort();
  const address = `http://127.0.0.1:${port}/`;
  const uplink = spawnSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).stdout.trim();
  const ours = { access: "$all", publish: "$all" };
  const config = {
    storage: join(directory, "storage"),
    max_body_size: "600mb",
    uplinks: { upstream: { url: uplink, timeout: "120s", max_fails: 20 } },
    packages: { "neuron-blip": ours, "@neuron-blip/*": ours, "**": { access: "$all", proxy: "upstream" } },
    log: { type: "stdout", format: "json", level: "warn" },
  };
  const file = join(directory, "config.yaml"); // JSON is YAML
  writeFileSync(file, JSON.stringify(config));
  const server = spawn(node, [join(tools, "verdaccio/bin/verdaccio"), "--config", file, "--listen", address], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [server.stdout, server.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4000);
    });
  }
  const stop = () => stopServer(server);
  try {
    await untilItAnswers(address, server, () => said);
    const userConfig = join(directory, "npmrc");
    writeFileSync(userConfig, `registry=${address}\n//127.0.0.1:${port}/:_authToken=anyone\n`);
    for (const tarball of tarballs) {
      const npm = [join(tools, "npm-10/bin/npm-cli.js"), "publish", tarball, "--userconfig", userConfig];
      const { status, stderr } = spawnSync(join(tools, "node-22/bin/node"), npm, { encoding: "utf8", cwd: directory });
      assert.equal(status, 0, `${stderr}\n${said}`);
    }
    return { address, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  assert(typeof address === "object" && address !== null);
  return address.port;
}

/** Asks again with every refusal, until there is an answer, or the server ends. */
async function untilItAnswers(address: string, server: ChildProcess, said: () => string): Promise<void> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const answered = await fetch(`${address}-/ping`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answered) return;
    assert(server.exitCode === null && performance.now() < deadline, `verdaccio does not answer: ${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, "exit");
  server.kill();
  await ended;
}
