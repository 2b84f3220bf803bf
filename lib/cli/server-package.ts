import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { codeOf } from "../errors.js";
import { say } from "./output.js";

/** The package that serves and works. It is one of its own, so that who needs neither need not install it. */
const SERVER = "@neuron-blip/server";

/** The commands that it has; each takes the arguments, which it reads itself, and returns the exit code. */
interface ServerPackage {
  runServe(args: string[]): Promise<number>;
  runWork(args: string[]): Promise<number>;
}

/** Runs one of the server's commands; without the package, says how to install it. @returns the exit code. */
export async function runOfServer(name: keyof ServerPackage, args: string[]): Promise<number> {
  const server = await importServer();
  if (server !== undefined) return server[name](args);
  say(`neuron-blip: this is in a package of its own: npm install ${SERVER}`);
  return 1;
}

async function importServer(): Promise<ServerPackage | undefined> {
  // Beside this package; else where the command runs, since some package managers show a package only what it declares.
  for (const place of [import.meta.url, pathToFileURL(join(process.cwd(), "package.json")).href]) {
    try {
      const file = createRequire(place).resolve(SERVER);
      const server: unknown = await import(pathToFileURL(file).href);
      if (isServer(server)) return server;
    } catch (error) {
      if (codeOf(error) !== "MODULE_NOT_FOUND") throw error;
    }
  }
  return undefined;
}

function isServer(value: unknown): value is ServerPackage {
  return typeof value === "object" && value !== null && "runServe" in value && "runWork" in value;
}
