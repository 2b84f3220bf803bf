/**
 * Loads this package as test runners do that give each file a context of its own (jest's ES modules, vitest's vmThreads):
 * every module evaluated in a vm context, whose Error, Uint8Array and URL are not Node's, and, on Node 20, without
 * Symbol.dispose. Then runs a program in it, and prints what that returns as JSON.
 * `node --experimental-vm-modules test-runner.mjs PROGRAM MODE ARGUMENTS…`, where MODE is "node" or "jsdom".
 */
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";

const [program = "", mode, ...args] = process.argv.slice(2);
const names = [
  "AbortController",
  "AbortSignal",
  "Buffer",
  "URL",
  "console",
  "performance",
  "process",
  "queueMicrotask",
];
const timers = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate };
// jsdom's timers are numbers, and it has no setImmediate.
const stopped = () => {
  throw new Error("a timer of the page was used");
};
const own = mode === "jsdom" ? { setTimeout: stopped, setInterval: stopped } : timers;
const context = vm.createContext({ ...Object.fromEntries(names.map((name) => [name, globalThis[name]])), ...own });

const modules = new Map();

/** The module of an address, not linked yet. */
async function load(address) {
  const known = modules.get(address);
  if (known) return known;
  const builtin = isBuiltin(address);
  const ours = !builtin && !address.includes("/node_modules/");
  const options = { context, identifier: address };
  let module;
  if (ours) {
    module = new vm.SourceTextModule(readFileSync(fileURLToPath(address), "utf8"), {
      ...options,
      initializeImportMeta: (meta) => {
        meta.url = address;
      },
      importModuleDynamically: async (specifier) => {
        const imported = await load(resolve(specifier, address));
        if (imported.status === "unlinked") await imported.link(link);
        await imported.evaluate();
        return imported;
      },
    });
  } else {
    const namespace = await import(address);
    module = new vm.SyntheticModule(
      Object.keys(namespace),
      function () {
        for (const name of Object.keys(namespace)) this.setExport(name, namespace[name]);
      },
      options,
    );
  }
  modules.set(address, module);
  return module;
}

function resolve(specifier, from) {
  if (isBuiltin(specifier)) return specifier;
  return specifier.startsWith(".") ? new URL(specifier, from).href : import.meta.resolve(specifier);
}

function link(specifier, from) {
  return load(resolve(specifier, from.identifier));
}

const entry = await load(pathToFileURL(program).href);
await entry.link(link);
await entry.evaluate();
console.log(JSON.stringify(await entry.namespace.default(...args)));
