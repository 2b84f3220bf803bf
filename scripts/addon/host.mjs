// What the build scripts need to know of the host: its programs, and what to say where one is missing.
// These scripts run before node_modules exists, so they use nothing but Node.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as system } from "node:os";
import { delimiter, join } from "node:path";

/** An error whose message is meant for the person at the terminal: it is printed without a stack. */
export class SetupError extends Error {
  /** @param {string} message what is wrong and what to do */
  constructor(message) {
    super(message);
    this.name = "SetupError";
  }
}

/**
 * Looks a program up as a shell does.
 * @param {string} program a name, without a directory
 * @returns {string | undefined} its path
 */
export function which(program) {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    if (directory === "") continue;
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not there, or not executable: the next directory may have it.
    }
  }
  return undefined;
}

/**
 * The command that installs packages on this host.
 * @param {{apt: string, dnf: string, brew: string}} packages their names, by package manager
 * @returns {string}
 */
export function installCommand({ apt, dnf, brew }) {
  if (process.platform === "darwin") return brew;
  const sudo = process.getuid?.() === 0 ? "" : "sudo ";
  if (which("apt-get") === undefined && which("dnf") !== undefined) return `${sudo}dnf install ${dnf}`;
  return `${sudo}apt-get install ${apt}`;
}

/**
 * Runs a program with its output on this terminal.
 * @param {string} program
 * @param {string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, stdio?: import("node:child_process").StdioOptions}} [options]
 * @returns {Promise<number>} its exit code; 128 + n where signal n ended it
 */
export function run(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", ...options });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + system.signals[signal ?? "SIGTERM"]));
  });
}

/**
 * Runs a program quietly.
 * @param {string} program
 * @param {string[]} args
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, input?: string}} [options]
 * @returns {{ok: boolean, stdout: string, stderr: string}}
 */
export function capture(program, args, options = {}) {
  const result = spawnSync(program, args, { encoding: "utf8", maxBuffer: 64 << 20, ...options });
  return {
    ok: result.status === 0,
    stdout: result.stdout ?? "",
    stderr: result.stderr ?? String(result.error ?? ""),
  };
}

/**
 * The Pythons that may be the active one, the most likely first.
 * @returns {string[]} paths
 */
export function pythons() {
  const found = [];
  if (process.env.VIRTUAL_ENV) found.push(join(process.env.VIRTUAL_ENV, "bin", "python"));
  for (const name of ["python3", "python"]) {
    const path = which(name);
    if (path !== undefined) found.push(path);
  }
  return found;
}

/**
 * Runs a script's main function, and turns what it throws into a message and an exit code.
 * @param {() => Promise<number | void>} main
 */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    // The system's refusals, as of a directory that this user may not write to, name what they refuse.
    const expected = error instanceof SetupError || (error instanceof Error && "syscall" in error);
    if (!expected) throw error;
    console.error(`\nneuron-blip: ${error.message}`);
    process.exitCode = 1;
  }
}
