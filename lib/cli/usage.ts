import { type ParseArgsConfig, parseArgs } from "node:util";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { OutputError, print } from "./output.js";
import { didYouMean } from "./suggest.js";

/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

/** What the library calls the command line's options. */
const OPTION_NAMES: Readonly<Record<string, string>> = {
  "truncation: true": "--truncate",
  truncation: "--truncate",
  tokenizer: "--tokenizer",
  numBeams: "--num-beams",
  numReturnSequences: "--alternatives",
  maxNewTokens: "--max-new-tokens",
  minLength: "--min-length",
  questionLength: "--question-length",
  answerLength: "--answer-length",
  maxPixels: "--max-pixels",
  numModels: "--replicas",
  threads: "--threads",
};
/** Words that are a sentence's own are options only where it says so. */
const NAMED = new RegExp(
  `the option \`?(${Object.keys(OPTION_NAMES).join("|")})\`?|\\b(${Object.keys(OPTION_NAMES)
    .filter((name) => /[A-Z:]/.test(name))
    .join("|")})(?![\\w-])`,
  "g",
);

/** Tells whether the arguments are at fault: what the library says of a value may begin with the option that had it. */
export function isUsage(error: unknown): boolean {
  const isOption =
    error instanceof NeuronBlipError && error.code === "INVALID_INPUT" && inOptions(error).startsWith("--");
  return error instanceof UsageError || isOption;
}

/** Returns an error's message with the command line's names of options, and of the one picture that it reads into a buffer. */
function inOptions({ message }: NeuronBlipError): string {
  return message
    .replace(/^The picture in the buffer\b/, "The picture on the standard input")
    .replace(NAMED, (named, one, other) => OPTION_NAMES[one ?? other] ?? named)
    .replace(/\s+/g, " ");
}

/** Returns what the command line says of an error: a line with its code, or the stack of what should not happen. */
export function complaint(error: unknown): string {
  if (error instanceof NeuronBlipError) return `neuron-blip: ${inOptions(error)} [${error.code}]`;
  const expected = error instanceof UsageError || error instanceof OutputError || isOfSystem(error);
  return `neuron-blip: ${expected || !(error instanceof Error) ? messageOf(error) : error.stack}`;
}

/** Tells whether an error is the operating system's, as of a file: its message names what it refused. */
function isOfSystem(error: unknown): boolean {
  return codeOf(error) !== undefined && typeof error === "object" && error !== null && "syscall" in error;
}

/** A command's options: which take a text, which several ("strings", given once for each), and which are switches. */
export type Options = Record<string, "string" | "strings" | "boolean">;

/** Declares options that take a text. */
export function texts<const Name extends string>(...names: readonly Name[]): Record<Name, "string"> {
  return Object.fromEntries(names.map((name) => [name, "string"])) as Record<Name, "string">;
}

/** Declares options that are on or off. */
export function switches<const Name extends string>(...names: readonly Name[]): Record<Name, "boolean"> {
  return Object.fromEntries(names.map((name) => [name, "boolean"])) as Record<Name, "boolean">;
}

type Value = { string: string; strings: string[]; boolean: boolean };
type Values<O extends Options> = { [K in keyof O]?: Value[O[K]] } & { help?: boolean };

export interface Arguments<O extends Options> {
  values: Values<O>;
  positionals: string[];
  /** The options as they were given, to repeat them. */
  given: string[];
}

/**
 * Parses the arguments of a command; every command has `--help`.
 * @throws UsageError
 */
export function parse<const O extends Options>(args: string[], options: O): Arguments<O> {
  const config: NonNullable<ParseArgsConfig["options"]> = { help: { type: "boolean", short: "h" } };
  for (const [name, type] of Object.entries(options)) {
    config[name] = type === "strings" ? { type: "string", multiple: true } : { type };
  }
  try {
    const { values, positionals, tokens } = parseArgs({ args, allowPositionals: true, options: config, tokens: true });
    const places = new Set(tokens.filter(({ kind }) => kind !== "option").map(({ index }) => index));
    return { values: values as Values<O>, positionals, given: args.filter((_, i) => !places.has(i)) };
  } catch (error) {
    throw new UsageError(explain(error, Object.keys(config)));
  }
}

/**
 * Makes a command.
 * @param act does what the arguments ask for, and returns the exit code.
 * @returns what takes the arguments after the command's name; `--help` prints the help.
 */
export function command<const O extends Options>(
  help: string,
  options: O,
  act: (args: Arguments<O>) => Promise<number>,
): (args: string[]) => Promise<number> {
  return async (args) => {
    const given = parse(args, options);
    if (!given.values.help) return act(given);
    print(help);
    return 0;
  };
}

function explain(error: unknown, names: readonly string[]): string {
  const [, option = ""] = /'(?:-\w, )?(--?[^' ]+)/.exec(messageOf(error)) ?? [];
  const all = "`--help` lists the options.";
  if (codeOf(error) === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    const like = didYouMean(
      option,
      names.map((name) => `--${name}`),
    );
    return `There is no option ${option.slice(0, 100)}.${like} ${all}`;
  }
  if (/does not take an argument/.test(messageOf(error))) return `${option} takes no value. ${all}`;
  if (/argument missing/.test(messageOf(error))) return `${option} takes a value, which is missing. ${all}`;
  if (/ambiguous/.test(messageOf(error))) {
    return `${option} takes a value, and what follows looks like an option: write ${option}=VALUE. ${all}`;
  }
  return `${messageOf(error).split("\n")[0]} ${all}`;
}

/** Reads an option that is a whole number. */
export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} takes a whole number, not "${text.slice(0, 100)}".`);
  return Number(text);
}

/** Reads an option that is a whole number of 1 or more. */
export function count(name: string, text: string): number;
export function count(name: string, text: string | undefined): number | undefined;
export function count(name: string, text: string | undefined): number | undefined {
  const value = wholeNumber(name, text);
  if (value === 0) throw new UsageError(`--${name} takes a whole number of 1 or more, not 0.`);
  return value;
}

/** Returns a command's options that were given, to pass on; what was left out is for the callee to settle. */
export function defined<T extends object>(options: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** Checks options against each other. @throws UsageError where an option was given together with one that it leaves no sense to. */
export function checkTogether(values: Record<string, unknown>, name: string, others: readonly string[]): void {
  if (values[name] === undefined) return;
  const other = others.find((option) => values[option] !== undefined);
  if (other !== undefined) throw new UsageError(`--${name} and --${other} do not go together.`);
}
