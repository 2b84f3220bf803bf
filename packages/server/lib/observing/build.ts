import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** The versions of what runs. */
export const BUILD = {
  server: versionOf(require("../../package.json")),
  library: versionOf(require("neuron-blip/package.json")),
} as const;

function versionOf(json: unknown): string {
  const version = typeof json === "object" && json !== null && "version" in json ? json.version : undefined;
  return typeof version === "string" ? version : "unknown";
}
