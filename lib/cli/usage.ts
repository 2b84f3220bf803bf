import { type ParseArgsConfig, parseArgs } from "node:util";
import { messageOf, NeuronBlipError } from "../errors.js";

/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

/** What the command line says of an error: a sentence and a code, or the stack of what should not happen. */
export function complaint(error: unknown): string {
  const known = error instanceof UsageError || error instanceof NeuronBlipError;
  const code = error instanceof NeuronBlipError ? ` [${error.code}]` : "";
  return `neuron-blip: ${known ? messageOf(error) : error instanceof Error ? error.stack : error}${code}`;
}

/** A command's options: which take a text, which several ("strings", given once for each), and which are switches. */
export type Options = Record<string, "string" | "strings" | "boolean">;

type Value = { string: string; strings: string[]; boolean: boolean };
type Values<O extends Options> = { [K in keyof O]?: Value[O[K]] } & { help?: boolean };

/** The arguments of a command; every command has `--help`. */
export function parse<const O extends Options>(
  args: string[],
  options: O,
): { values: Values<O>; positionals: string[] } {
  const config: NonNullable<ParseArgsConfig["options"]> = { help: { type: "boolean", short: "h" } };
  for (const [name, type] of Object.entries(options)) {
    config[name] = type === "strings" ? { type: "string", multiple: true } : { type };
  }
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

/** A command's options that were given, to pass on; what was left out is for the callee to settle. */
export function defined<T extends object>(options: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** @throws UsageError where an option was given together with one that it leaves no sense to. */
export function checkTogether(values: Record<string, unknown>, name: string, others: readonly string[]): void {
  if (values[name] === undefined) return;
  const other = others.find((option) => values[option] !== undefined);
  if (other !== undefined) throw new UsageError(`--${name} and --${other} do not go together.`);
}
