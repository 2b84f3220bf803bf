/** The container's image, as deploy/cpu/Dockerfile builds it from the packed packages, in use. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { figure } from "../service/helpers/figures.js";
import { picturePath } from "../service/helpers/pictures.js";
import { until } from "../service/helpers/ports.js";
import { demoModel, root } from "../service/helpers/server-process.js";
import { BuildContext, Podman } from "./helpers/image.js";

/** What the limits of most hosts allow. */
const LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
/** Without any network but its own loopback, and ended by podman where the test cannot. */
const ALONE = ["--network", "none", "--timeout", "120", ...LIMITS];
const GRACE_S = 20;

/** Asks the server in the container, by its Node: status and body. */
const ASK = `
const [path, file, key] = process.argv.slice(1);
const body = file && require("node:fs").readFileSync(file);
fetch("http://127.0.0.1:8080" + path, {
  method: file ? "POST" : "GET", body, headers: { connection: "close", ...(key && { "x-api-key": key }), "content-type": "image/png" },
}).then(async (response) => console.log(JSON.stringify([response.status, await response.text()])));`;

/** Tries what a container may not, and what it may. */
const TRY = `
const { writeFileSync } = require("node:fs");
const may = (path) => { try { writeFileSync(path, ""); return true; } catch { return false; } };
console.log(JSON.stringify({ user: process.getuid(), root: may("/x"), srv: may("/srv/neuron-blip/x"), tmp: may("/tmp/x") }));`;

describe("the container of deploy/cpu", function () {
  // The addon may have to be compiled, and Debian fetched.
  this.timeout(420_000);
  let podman: Podman;
  const directory = mkdtempSync(join(tmpdir(), "neuron-blip-container-"));
  const keys = join(directory, "api-keys");

  before("build the image", () => {
    writeFileSync(keys, "a-key\n");
    podman = new Podman();
    const base = podman.importBase();
    using context = new BuildContext({ bullmq: "6", ioredis: "6" });
    const began = performance.now();
    build("neuron-blip", join(root, "deploy/cpu/Dockerfile"), context.directory, [
      `BASE=${base}`,
      "PACKAGES=./*.tgz bullmq@6 ioredis@6",
      "NPM_ARGS=--offline --cache /context/npm-cache",
    ]);
    const size = (name: string) => Number(podman.run(["image", "inspect", "--format", "{{.Size}}", name])) / 1e6;
    const [whole, below] = [size("localhost/neuron-blip"), size(base)];
    figure(
      "the image, built offline by podman",
      `${whole.toFixed(0)} MB, of which ${below.toFixed(0)} MB are Debian with Node; ${((performance.now() - began) / 1000).toFixed(0)} s`,
    );
  });
  after(() => {
    podman?.[Symbol.dispose]();
    rmSync(directory, { recursive: true });
  });

  function build(name: string, file: string, context: string, args: readonly string[]): void {
    podman.run([
      ...["build", "--network", "none", "--format", "docker", "--layers=false", "--tag", `localhost/${name}`],
      ...[...args.flatMap((arg) => ["--build-arg", arg]), "--file", file, context],
    ]);
  }

  const isHealthy = (name: string) => podman.succeeds(["healthcheck", "run", name]);

  function ask(name: string, ...args: string[]): [number, string] {
    return JSON.parse(podman.run(["exec", name, "node", "-e", ASK, ...args]));
  }

  /** Ends a container. @returns its exit code: 137 where it had to be killed. */
  function stop(name: string): number {
    podman.run(["stop", "--time", String(GRACE_S), name]);
    return Number(podman.run(["inspect", "--format", "{{.State.ExitCode}}", name]));
  }

  it("answers without root's rights on a read-only root, is healthy, and ends with 0 on SIGTERM within its grace", async () => {
    podman.run([
      ...["run", "--detach", "--name", "server", ...ALONE, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"],
      ...["--security-opt", "no-new-privileges", "--volume", `${demoModel}:/model:ro`],
      ...["--volume", `${dirname(picturePath)}:/pictures:ro`, "--volume", `${keys}:/run/api-keys:ro`],
      ...["localhost/neuron-blip", "serve", "/model", "--host", "0.0.0.0", "--api-key-file", "/run/api-keys"],
    ]);
    await until("the container is healthy", () => isHealthy("server"), 60_000, 250);
    assert.deepEqual(JSON.parse(podman.run(["exec", "server", "node", "-e", TRY])), {
      ...{ user: 10001, root: false, srv: false, tmp: true },
    });
    const question = "/answer?question=how+many+shapes+are+there%3F";
    const [status, text] = ask("server", question, "/pictures/three-shapes.png", "a-key");
    assert.equal(status, 200, text);
    assert.equal(JSON.parse(text).answers[0].answer, "3");
    assert.equal(ask("server", question, "/pictures/three-shapes.png")[0], 401);
    assert.match(podman.run(["exec", "server", "neuron-blip", "work", "--help"]), /neuron-blip work MODEL/);
    assert.match(podman.run(["exec", "server", "neuron-blip", "batch", "--help"]), /neuron-blip batch MODEL/);
    assert.equal(podman.succeeds(["exec", "server", "neuron-blip", "serve"]), false, "it serves without a model");
    const began = performance.now();
    assert.equal(stop("server"), 0, podman.run(["logs", "server"]));
    figure(
      "SIGTERM, with the drain delay of 5 s",
      `ended with 0 after ${((performance.now() - began) / 1000).toFixed(1)} s`,
    );
  });

  it("serves as SageMaker starts it, by the user and the arguments of the variant that is for it", async () => {
    const variant = readFileSync(join(root, "deploy/sagemaker/Dockerfile"), "utf8");
    const [, user = ""] = /^USER (.+)$/m.exec(variant) ?? [];
    assert.equal(user, "0:0");
    assert.match(variant, /^ENTRYPOINT \["neuron-blip"\]\nCMD \["serve"\]$/m);
    podman.run([
      ...["run", "--detach", "--name", "sagemaker", ...ALONE, "--user", user],
      ...["--volume", `${demoModel}:/opt/ml/model:ro`, "localhost/neuron-blip"],
    ]);
    await until("the container is healthy", () => isHealthy("sagemaker"), 60_000, 250);
    assert.equal(JSON.parse(podman.run(["exec", "sagemaker", "node", "-e", TRY])).user, 0);
    assert.equal(ask("sagemaker", "/ping")[0], 200);
    assert.equal(stop("sagemaker"), 0);
  });
});
