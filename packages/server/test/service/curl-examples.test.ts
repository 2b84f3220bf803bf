// What docs/serving.md shows with curl, run as it is written, against a server that runs as the document says.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { picturePath } from "./helpers/pictures.js";
import { isListening } from "./helpers/ports.js";
import { root, ServerProcess } from "./helpers/server-process.js";

/** Where the document's server listens. */
const PORT = 8080;
/** What the document's model is called. */
const NAME = "blip-vqa-base";

const document = readFileSync(join(root, "docs", "serving.md"), "utf8");
const examples = Array.from(document.matchAll(/^```sh\n(.*?)^```$/gms), ([, text = ""]) => text)
  .flatMap((block) => block.replaceAll("\\\n", "").split("\n"))
  .filter((line) => /^curl /.test(line));

describe("the document's curl examples", () => {
  let directory: string;
  let server: ServerProcess;
  before(async () => {
    assert.equal(await isListening(PORT), false, `port ${PORT}, which the document names, is taken`);
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-curl-"));
    copyFileSync(picturePath, join(directory, "dog.jpg"));
    server = await ServerProcess.start({ port: PORT, args: ["--name", NAME, "--question", "is it day?"] });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  it("are there for each protocol", () => {
    for (const path of ["/answer", "/v1/chat/completions", "/v2/models/", "/invocations"]) {
      assert(
        examples.some((example) => example.includes(path)),
        `none for ${path}`,
      );
    }
  });

  for (const example of examples) {
    it(example.slice(0, 100), async () => {
      const shell = ["-e", "-o", "pipefail", "-c", example.replace(/^curl /, "curl --max-time 30 --fail-with-body ")];
      const { stdout } = await promisify(execFile)("bash", shell, { cwd: directory });
      if (example.includes("event-stream") || example.includes('"stream"')) assert.match(stdout, /^(event|data): /m);
      else assert.doesNotThrow(() => JSON.parse(stdout), stdout);
    });
  }
});
