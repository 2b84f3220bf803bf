import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { codeOf } from "../errors.js";
import { say } from "./output.js";

/** The package that serves. It is one of its own, so that who needs no server need not install one. */
const SERVER = "@neuron-blip/server";

/**
 * Runs `neuron-blip serve`: answers by HTTP.
 * @param args the command's arguments, which the server's package reads.
 * @returns the exit code.
 */
export async function run(args: string[]): Promise<number> {
  const server = await importServer();
  if (server !== undefined) return server.runServe(args);
  say(`neuron-blip: the server is a package of its own: npm install ${SERVER}`);
  return 1;
}

interface ServerPackage {
  runServe(args: string[]): Promise<number>;
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
  return typeof value === "object" && value !== null && "runServe" in value && typeof value.runServe === "function";
}
