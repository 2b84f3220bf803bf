import { type ParseArgsConfig, parseArgs } from "node:util";
import { messageOf } from "../errors.js";

/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

/** A command's options: which take a text, and which are switches. */
export type Options = Record<string, "string" | "boolean">;

type Values<O extends Options> = { [K in keyof O]?: O[K] extends "string" ? string : boolean } & { help?: boolean };

/** The arguments of a command; every command has `--help`. */
export function parse<const O extends Options>(
  args: string[],
  options: O,
): { values: Values<O>; positionals: string[] } {
  const config: NonNullable<ParseArgsConfig["options"]> = { help: { type: "boolean", short: "h" } };
  for (const [name, type] of Object.entries(options)) config[name] = { type };
  try {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: config });
    return { values: values as Values<O>, positionals };
  } catch (error) {
    throw new UsageError(`${messageOf(error)} \`--help\` lists the options.`);
  }
}

/** An option that is a whole number. */
export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} takes a whole number, not "${text}".`);
  return Number(text);
}
