// The libraries of libtorch that are published, each known by its SHA-256 as PyTorch built it.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SetupError } from "../addon/host.mjs";

/**
 * What libtorch_cpu needs and a host may lack, and itself: of the file that scripts/addon/fetch-libtorch.mjs knows. libtorch.so is left out: it
 * only names the others.
 * @type {Readonly<Record<string, string>>}
 */
export const PINNED_LIBRARIES = {
  "libtorch_cpu.so": "872a1bfef377d7f17e9e698b9928d5a4ecd30646ddb68ad22e1fa06bf30bf73f",
  "libc10.so": "52d951ec184bf4ead929cfa5a24daa14cc617bf9e2180b6e551434b6f11d0b3f",
  "libgomp.so.1": "78511033caddec6ccae8f4d62b94d56135f377c4cee33120e6d7df2ef499f69f",
};

/**
 * Checks libraries that are about to be published.
 * @param {string} libDir where they are
 * @throws {SetupError} for one that is another
 */
export async function checkPinnedLibraries(libDir) {
  for (const [name, known] of Object.entries(PINNED_LIBRARIES)) {
    const found = await sha256Of(join(libDir, name));
    if (found === known) continue;
    throw new SetupError(
      `${join(libDir, name)} is not the library that is known: its SHA-256 is ${found}, not ${known}. Remove its directory, and run ` +
        "this again to fetch it anew.",
    );
  }
}

/**
 * @param {string} path
 * @returns {Promise<string>} hexadecimal
 */
export async function sha256Of(path) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}
