/** Where this package's own files are, which it opens by their paths: its addon, its worker threads and child processes. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { NeuronBlipError } from "../errors.js";

/**
 * Returns the path of a file of this package.
 * @param path relative to dist, such as "images/decode-worker.js" or "../package.json".
 * @throws NeuronBlipError `BUNDLED` where this code was moved to another file, away from its package.
 */
export function packageFile(path: string): string {
  // In CommonJS made by a bundler there is no such URL; webpack gives that of the host it ran on.
  const here: string | undefined = import.meta.url;
  const own = here?.startsWith("file:") ? fileURLToPath(here) : "";
  if (!/^package-file\.[jt]s$/.test(basename(own)) || !existsSync(own)) throw bundledError(own || here);
  return fileURLToPath(new URL(`../${path}`, here));
}

function bundledError(file: string | undefined): NeuronBlipError {
  return new NeuronBlipError(
    "BUNDLED",
    `neuron-blip is inside a bundle${file ? ` (${file.slice(-200)})` : ""}, without the native addon and the worker threads that ` +
      "belong to it. It must stay outside the bundle, as a package in node_modules. " +
      "esbuild: --external:neuron-blip. " +
      'Rollup: external: ["neuron-blip"]. ' +
      'Vite: ssr.external: ["neuron-blip"], and build.rollupOptions.external: ["neuron-blip"]. ' +
      'webpack: externals: { "neuron-blip": "commonjs neuron-blip" }. ' +
      'Next.js: serverExternalPackages: ["neuron-blip"].',
  );
}
