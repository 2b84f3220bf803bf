import { buildAddon } from "../tools/addon/build-addon.js";
import { parse, switches, texts, UsageError } from "./usage.js";

/**
 * Runs `neuron-blip build`: builds the native addon from source, for hosts that have another torch, or that have no published
 * binaries.
 * @param args the command's arguments, passed on to the script; `--help` lists them.
 * @returns the exit code: 0 built or up to date, 1 could not build, 2 wrong arguments.
 */
export async function run(args: string[]): Promise<number> {
  const { positionals } = parse(args, { ...switches("force", "debug", "sanitize"), ...texts("jobs", "libtorch") });
  if (positionals.length === 0) return buildAddon(args);
  throw new UsageError(`build takes no "${positionals[0]?.slice(0, 100)}". \`--help\` lists its options.`);
}
