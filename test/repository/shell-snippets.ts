// Checks the shell commands that the documents show, without running them: programs, commands, options, scripts and files.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cli = join(root, "dist/cli/main.js");
const manifest: { scripts: Record<string, string>; files: string[] } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);

/** Programs of the system, which the documents use as anybody would. */
const OF_THE_SYSTEM = new Set([".", "apt-get", "curl", "echo", "gpg", "source", "sudo", "tee", "wget"]);

/** Whether a file of the repository is in the package that users install. */
export function isPacked(file: string): boolean {
  if (file === "README.md" || file === "package.json") return true;
  return manifest.files.some((packed) =>
    packed.endsWith("/*.md")
      ? dirname(file) === dirname(packed) && file.endsWith(".md")
      : file === packed || file.startsWith(`${packed}/`),
  );
}

/** @returns the help of each command of the command line, by its name. */
export async function readHelp(): Promise<Map<string, string>> {
  const run = async (...args: string[]) => (await promisify(execFile)(process.execPath, [cli, ...args])).stdout;
  const names = Array.from((await run("--help")).matchAll(/^ {2}([a-z]+)\b/gm), ([, name = ""]) => name);
  return new Map(
    await Promise.all(
      names.map(async (name) => {
        // `compile --help` is Python's, which a host need not have: the options are in the script.
        const help =
          name === "compile" ? readFileSync(join(root, "scripts/compile/trace.py"), "utf8") : await run(name, "--help");
        return [name, help] as const;
      }),
    ),
  );
}

/** Splits a shell text into commands, and each into words; comments and the ends of continued lines go. */
export function commandsOf(text: string): string[][] {
  const commands: string[][] = [[]];
  for (const [word] of text
    .replaceAll("\\\n", " ")
    .matchAll(/\n|&&|\||#[^\n]*|(?:"[^"]*"|'[^']*'|\$\([^)]*\)|[^\s"'|#&])+/g)) {
    if (word === "\n" || word === "&&" || word === "|") commands.push([]);
    else if (!word.startsWith("#")) commands.at(-1)?.push(word);
  }
  return commands.filter((words) => words.length > 0);
}

/** Fails for a command that names what there is not. */
export function checkCommand([program = "", ...args]: string[], help: ReadonlyMap<string, string>): void {
  if (program === "npx") {
    assert.equal(args[0], "neuron-blip", "npx runs neuron-blip");
    checkCommand(args, help);
  } else if (program === "neuron-blip") checkOwn(args, help);
  else if (program === "npm") checkNpm(args);
  else if (program === "node" || program === "python" || program === "python3") checkScript(program, args);
  else if (program === "pip") checkPip(args);
  else assert(OF_THE_SYSTEM.has(program), `no rule says what "${program}" is`);
}

function checkOwn([name = "", ...args]: string[], help: ReadonlyMap<string, string>): void {
  if (name === "help") return;
  const options = help.get(name);
  assert(options !== undefined, `neuron-blip has no command "${name}"`);
  checkOptions(args, options, name);
}

/** What the server's package uses where it is installed. */
const serverPeers = Object.keys(
  JSON.parse(readFileSync(join(root, "packages/server/package.json"), "utf8")).peerDependencies,
);

function checkNpm([verb = "", ...args]: string[]): void {
  if (verb === "install") {
    assert.deepEqual(
      args.filter((name) => !["neuron-blip", "@neuron-blip/server", "sharp", ...serverPeers].includes(name)),
      [],
    );
    return;
  }
  const [name = "", ...rest] = verb === "run" ? args : [verb, ...args];
  const script = manifest.scripts[name];
  assert(script !== undefined, `package.json has no script "${name}"`);
  const files = Array.from(script.matchAll(/scripts\/[\w/-]+\.mjs/g), ([path]) =>
    readFileSync(join(root, path), "utf8"),
  );
  checkOptions(rest, files.join(""), script);
}

function checkScript(program: string, [path = "", ...args]: string[]): void {
  if (path === "-m") {
    assert.equal(args[0], "venv");
    return;
  }
  assert(existsSync(join(root, path)), `${program} runs ${path}, which is not there`);
  checkOptions(args, readFileSync(join(root, path), "utf8"), path);
}

/** What an installed package brings along must be packed. */
function checkPip(args: string[]): void {
  for (const path of args.filter((word) => word.startsWith("node_modules/neuron-blip/"))) {
    const file = path.slice("node_modules/neuron-blip/".length);
    assert(existsSync(join(root, file)), `${file} is not there`);
    assert(isPacked(file), `${file} is not packed`);
  }
}

/** @param known a text that names each option of what is run. */
function checkOptions(args: string[], known: string, what: string): void {
  for (const option of args.filter((word) => /^--\w/.test(word))) {
    const [name = ""] = option.split("=");
    assert(new RegExp(`${name}(?![\\w-])`).test(known), `${what} has no option ${name}`);
  }
}
