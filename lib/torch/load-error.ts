/** Why the native addon, or the libtorch that it needs, does not load: each reason with its own words, and what to do. */
import { join } from "node:path";
import { messageOf, NeuronBlipError } from "../errors.js";
import { buildCommand } from "./binary/build-command.js";
import { type Binary, isCut, readBinary } from "./binary/elf.js";
import { obstacleOf } from "./binary/obstacle.js";

const BUILD = `Run \`${buildCommand()}\``;
const REBUILD = `\`${buildCommand()} --force\``;
const HERE = `${process.platform}-${process.arch}`;

/** Checks the addon. @throws NeuronBlipError `ADDON_NOT_BUILT` where the addon is not there, may not be read, or is not whole. */
export function checkAddonFile(path: string): void {
  const obstacle = obstacleOf(path);
  if (obstacle === "missing") {
    throw new NeuronBlipError(
      "ADDON_NOT_BUILT",
      `neuron-blip's native addon is not built (no "${path}"). If NEURON_BLIP_ADDON names it, correct that or unset it. ${BUILD}.`,
    );
  }
  if (obstacle === "unreadable") throw unreadable("ADDON_NOT_BUILT", "native addon", path);
  // The system's loader ends the process where a library stops before its end.
  if (isCut(path)) {
    throw new NeuronBlipError(
      "ADDON_NOT_BUILT",
      `neuron-blip's native addon "${path}" is cut short: it was not copied, or not built, to its end. Install ` +
        `neuron-blip again, or run ${REBUILD}.`,
    );
  }
}

/**
 * Checks a library of libtorch.
 * @throws NeuronBlipError `LIBTORCH_NOT_FOUND` where it is not there, may not be read, or is not whole.
 */
export function checkLibtorchFile(path: string): void {
  const obstacle = obstacleOf(path);
  if (obstacle === "unreadable") throw unreadable("LIBTORCH_NOT_FOUND", "libtorch", path);
  if (obstacle === "missing" || isCut(path)) {
    throw new NeuronBlipError(
      "LIBTORCH_NOT_FOUND",
      `neuron-blip's libtorch "${path}" ${obstacle === "missing" ? "is not there" : "is cut short: it was not copied to its end"}. ` +
        "Install what it belongs to again (neuron-blip, or torch in its Python environment).",
    );
  }
}

/** Explains an error that came of loading libtorch, before the addon. */
export function explainLibtorchError(path: string, cause: unknown): NeuronBlipError {
  const reason = messageOf(cause).replace(/\s+/g, " ").slice(0, 400);
  const explained = foreignBinary("LIBTORCH_NOT_FOUND", "libtorch", path) ?? musl(reason);
  return new NeuronBlipError(
    explained?.code ?? "LIBTORCH_NOT_FOUND",
    explained?.message ??
      `The libtorch "${path}" does not load here (${reason}). Set NEURON_BLIP_LIBTORCH to another, or unset it; ` +
        `\`npx neuron-blip doctor\` says why this one was chosen.`,
    { cause },
  );
}

/** Explains an error that came of loading the addon. */
export function explainLoadError(path: string, cause: unknown): NeuronBlipError {
  const reason = messageOf(cause).replace(/\s+/g, " ").slice(0, 400);
  const explained =
    foreignBinary("ADDON_NOT_BUILT", "native addon", path) ??
    musl(reason) ??
    libtorch(path, reason) ??
    other(path, reason);
  return new NeuronBlipError(explained.code, explained.message, { cause });
}

function unreadable(code: "ADDON_NOT_BUILT" | "LIBTORCH_NOT_FOUND", what: string, path: string): NeuronBlipError {
  const user = process.getuid === undefined ? "this user" : `this user (uid ${process.getuid()})`;
  const another =
    code === "LIBTORCH_NOT_FOUND"
      ? "or build again as this user, or with NEURON_BLIP_CACHE naming a directory that all may read: " +
        `\`${buildCommand()}\``
      : "or install and build neuron-blip as this user";
  return new NeuronBlipError(
    code,
    `neuron-blip's ${what} "${path}" may not be read by ${user}: permission denied. It was probably installed by another user, ` +
      `such as root. Give this user the right to read it and to enter its directories, ${another}.`,
  );
}

/** Explains a library of another system or processor. */
function foreignBinary(
  code: "ADDON_NOT_BUILT" | "LIBTORCH_NOT_FOUND",
  what: string,
  path: string,
): NeuronBlipError | undefined {
  const platform = binaryAt(path)?.platform;
  if (platform === HERE || platform === process.platform) return undefined;
  const is = platform === undefined ? "is damaged: it is no shared library" : `is for ${platform}, and this is ${HERE}`;
  return new NeuronBlipError(
    code,
    `neuron-blip's ${what} "${path}" ${is}. Install neuron-blip on the host, or in the image, that it shall run on, rather than ` +
      `copy node_modules from another: ${code === "LIBTORCH_NOT_FOUND" ? "remove that libtorch, and run" : "run"} ` +
      `${REBUILD}.`,
  );
}

/** Explains an error that came of another C library: libtorch is for glibc alone. */
function musl(reason: string): NeuronBlipError | undefined {
  const builtForMusl = /(libc\.musl-\w+\.so|ld-musl-\w+\.so)[.\d]*: cannot open/.test(reason);
  if (builtForMusl) {
    return new NeuronBlipError(
      "ADDON_NOT_BUILT",
      `neuron-blip's native addon was built for musl (Alpine Linux), and this Node runs on glibc (${reason}). Build it here: ` +
        `${REBUILD}.`,
    );
  }
  if (!/Error loading shared library|Error relocating/.test(reason)) return undefined;
  return new NeuronBlipError(
    "ADDON_NOT_BUILT",
    `neuron-blip's native addon is for glibc, and this Node runs on musl, as on Alpine Linux (${reason}). libtorch does not exist ` +
      "for musl: use an image with glibc, such as node:20-slim, and install neuron-blip there.",
  );
}

/** Explains what is wrong with the libtorch that the addon names: gone, unreadable, of another platform, or another version. */
function libtorch(path: string, reason: string): NeuronBlipError | undefined {
  const { needed = [], runpath = [] } = binaryAt(path) ?? {};
  const ours = needed.filter((name) => /^lib(torch|c10)/.test(name));
  for (const file of ours.flatMap((name) => runpath.map((directory) => join(directory, name)))) {
    const obstacle = obstacleOf(file);
    if (obstacle === "unreadable") return unreadable("LIBTORCH_NOT_FOUND", "libtorch", file);
    const foreign = obstacle === undefined && foreignBinary("LIBTORCH_NOT_FOUND", "libtorch", file);
    if (foreign) return foreign;
  }
  if (/lib(torch|c10)[\w.+-]*: cannot open shared object|Library not loaded.*lib(torch|c10)/.test(reason)) {
    return new NeuronBlipError(
      "LIBTORCH_NOT_FOUND",
      `The libtorch that neuron-blip was built with is no longer there (${reason}; looked in ${runpath.join(", ").slice(0, 200)}). ` +
        `${BUILD} to build with the libtorch that this host has.`,
    );
  }
  if (/undefined symbol: _Z\w*(3c10|5torch|2at)/.test(reason)) {
    return new NeuronBlipError(
      "LIBTORCH_NOT_FOUND",
      `The libtorch that is there is another version than neuron-blip was built with (${reason}). ` +
        `Run ${REBUILD} to build with it.`,
    );
  }
  return undefined;
}

function other(path: string, reason: string): NeuronBlipError {
  const failed = (why: string, cure: string) =>
    new NeuronBlipError("ADDON_NOT_BUILT", `neuron-blip's native addon "${path}" ${why} (${reason}). ${cure}`);
  const rebuild = `Run ${REBUILD}.`;
  if (/NODE_MODULE_VERSION|undefined symbol: (napi|node_api)_|self-register/.test(reason)) {
    return failed(`was built for another Node than this one, ${process.version}`, rebuild);
  }
  const version = /version [`'](GLIBC|GLIBCXX|CXXABI)_/.exec(reason)?.[1];
  if (version) return failed("was built on a newer system than this one", `Build it on this system: ${rebuild}`);
  if (/failed to map segment/.test(reason)) {
    return failed(
      "may not be run",
      "It is probably on a file system that is mounted with noexec: install it on another.",
    );
  }
  const lacking = /(lib[\w.+-]+): cannot open shared object/.exec(reason)?.[1];
  if (lacking)
    return failed(
      `needs ${lacking}, which this host has not`,
      `Install what brings ${lacking}, or build again. ${rebuild}`,
    );
  return failed("does not load here", rebuild);
}

function binaryAt(path: string): Binary | undefined {
  try {
    return readBinary(path);
  } catch {
    return undefined;
  }
}
