/** HAProxy and nginx before two servers, set up as an operator would, in a directory of their own. */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Child } from "./child.js";
import { freePort, isListening, until } from "./ports.js";
import { pathOf } from "./programs.js";

export class ProxyProcess implements AsyncDisposable {
  readonly port: number;
  readonly #directory: string;
  readonly #child: Child;
  readonly #sees: (port: number) => Promise<boolean>;

  constructor(port: number, directory: string, child: Child, sees: (port: number) => Promise<boolean>) {
    this.port = port;
    this.#directory = directory;
    this.#child = child;
    this.#sees = sees;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Waits until it sends requests to the server of a port. */
  async untilInUse(port: number): Promise<void> {
    await until(`the proxy uses the server at ${port}`, () => this.#sees(port));
  }

  async listening(): Promise<this> {
    try {
      await until(`the proxy listens: ${this.#child.output}`, () => {
        if (this.#child.hasEnded) throw new Error(`the proxy ended: ${this.#child.output}`);
        return isListening(this.port);
      });
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Asks /readyz of each server, and sends nothing to one that is not ready. */
export async function startHaproxy(ports: readonly number[]): Promise<ProxyProcess> {
  const directory = mkdtempSync(join(tmpdir(), "neuron-blip-haproxy-"));
  const port = await freePort();
  const admin = join(directory, "admin.sock");
  const config = `
global
  stats socket ${admin}
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option redispatch
  retries 3
frontend in
  bind 127.0.0.1:${port}
  default_backend servers
backend servers
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 250ms fall 1 rise 1
${ports.map((own) => `  server s${own} 127.0.0.1:${own}`).join("\n")}
`;
  const path = join(directory, "haproxy.cfg");
  writeFileSync(path, config);
  const child = new Child(pathOf("haproxy"), ["-db", "-f", path], { stdio: ["ignore", "pipe", "pipe"] });
  const sees = async (own: number) =>
    new RegExp(`^servers,s${own},.*,UP,`, "m").test(await command(admin, "show stat"));
  return new ProxyProcess(port, directory, child, sees).listening();
}

async function command(path: string, line: string): Promise<string> {
  const socket = connect(path);
  await once(socket, "connect");
  socket.write(`${line}\n`);
  return text(socket);
}

/** Asks nothing: it tries the next server where one cannot be connected to. */
export async function startNginx(ports: readonly number[]): Promise<ProxyProcess> {
  const directory = mkdtempSync(join(tmpdir(), "neuron-blip-nginx-"));
  const port = await freePort();
  const config = `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream servers {
${ports.map((own) => `    server 127.0.0.1:${own} max_fails=1 fail_timeout=1s;`).join("\n")}
    keepalive 16;
  }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 10m;
    location / {
      proxy_pass http://servers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_connect_timeout 2s;
      proxy_read_timeout 60s;
    }
  }
}
`;
  const path = join(directory, "nginx.conf");
  writeFileSync(path, config);
  const args = ["-p", directory, "-e", "stderr", "-c", path];
  const child = new Child(pathOf("nginx"), args, { stdio: ["ignore", "pipe", "pipe"] });
  return new ProxyProcess(port, directory, child, isListening).listening();
}
