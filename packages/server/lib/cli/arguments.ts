import { isIP } from "node:net";
import { parseArgs } from "node:util";
import type { ModelArguments } from "./model-options.js";

/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

export const HELP = `neuron-blip serve answers questions about pictures by HTTP.

Usage: neuron-blip serve [MODEL] [options]

  MODEL                  a model directory, or a name on the Hugging Face Hub such as Salesforce/blip-vqa-base. Without it, as
                         SageMaker starts a container: /opt/ml/model, on all addresses, without keys, whatever the Host header
  --host HOST            the address to listen on (default 127.0.0.1); any but this host's own needs --api-key-file
  --port N               the port (default 8080; 0: any that is free)
  --name NAME            what the model is called by protocols that name models (default: the last part of MODEL)
  --question TEXT        asked of every picture that comes without a question; give it for each
  --api-key-file FILE    the keys, one a line, of which each request needs one
  --insecure-no-auth     listen on any address without keys
  --allow-host NAME      a name that this server goes by, where no key is needed; "*": any; give it for each
  --allow-url HOST       a host that pictures may be fetched from, as HOST or HOST:PORT; give it for each (default: none)
  --replicas N           how many replicas to load, or "all": one for each NeuronCore (default 1)
  --threads N            cores of the CPU for each replica (default: an equal share)
  --decoder-threads N    how many pictures are decoded at a time (default: one for each core, but 2 to 4)
  --dtype TYPE           of a checkpoint on the CPU: float32, bfloat16 or int8
  --max-waiting N        how many calls may wait for each replica (default 64); more get 503
  --max-body BYTES       the largest body (default 10485760)
  --max-pixels N         the largest picture, in pixels (default 20000000)
  --timeout MS           how long a request may take (default 30000)
  --metrics-port N       serve /metrics on a port of its own, without a key
  --drain-delay MS       after SIGTERM, how long to go on serving while unready (default 5000)
  --grace MS             after SIGTERM, when to stop whatever is under way (default 30000)
  --log-level LEVEL      fatal, error, warn, info, debug or silent (default info)
  --revision REV         of a model on the Hub: a branch, tag or commit (default main)
  --help                 print this

Exit codes: 0 ended by a signal, with all requests answered; 1 failed, lost its model, or stopped in the
midst; 2 wrong arguments.`;

const TEXTS = [
  ...["host", "port", "name", "api-key-file", "replicas", "threads", "decoder-threads", "dtype", "max-waiting"],
  ...["max-body", "max-pixels", "timeout", "metrics-port", "drain-delay", "grace", "log-level", "revision"],
] as const;

/** What the command line says. */
export interface ServeArguments extends ModelArguments {
  readonly model: string;
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number | undefined;
  readonly name: string | undefined;
  readonly questions: readonly string[];
  readonly apiKeyFile: string | undefined;
  readonly allowedHosts: readonly string[];
  readonly allowedUrls: readonly string[];
  readonly maxBody: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly drainDelayMs: number;
  readonly graceMs: number;
  readonly logLevel: string | undefined;
}

/**
 * Reads the arguments of `serve`.
 * @param containerModel the model that SageMaker has put into this container, where this is one: it starts `serve` alone, and its
 * own proxy, which sends the requests, cannot send a key.
 * @returns undefined where help is asked for.
 * @throws UsageError
 */
export function readArguments(args: string[], containerModel?: string): ServeArguments | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const [model = containerModel, ...others] = positionals;
  if (model === undefined || others.length > 0) {
    throw new UsageError("serve takes one model. `neuron-blip serve --help` tells more.");
  }
  const isInContainer = positionals.length === 0;
  const text = (name: (typeof TEXTS)[number]): string | undefined => values[name];
  const number = (name: (typeof TEXTS)[number], least = 1) => wholeNumber(name, text(name), least);
  const host = text("host") ?? (isInContainer ? "0.0.0.0" : "127.0.0.1");
  const apiKeyFile = text("api-key-file");
  if (!isLoopback(host) && apiKeyFile === undefined && !isInContainer && !values["insecure-no-auth"]) {
    throw new UsageError(
      `--host ${host} may be reached from elsewhere: give --api-key-file, or --insecure-no-auth where that is meant.`,
    );
  }
  return {
    model,
    host,
    port: portOf("port", text("port")) ?? 8080,
    metricsPort: portOf("metrics-port", text("metrics-port")),
    name: text("name"),
    questions: values.question ?? [],
    apiKeyFile,
    allowedHosts: [...(values["allow-host"] ?? []), ...(isInContainer ? ["*"] : [])],
    allowedUrls: values["allow-url"] ?? [],
    replicas: text("replicas") === "all" ? "all" : number("replicas"),
    threads: number("threads"),
    decoderThreads: number("decoder-threads"),
    dtype: dtypeOf(text("dtype")),
    maxWaiting: number("max-waiting"),
    maxBody: number("max-body"),
    maxPixels: number("max-pixels"),
    timeoutMs: number("timeout"),
    drainDelayMs: number("drain-delay", 0) ?? 5000,
    graceMs: number("grace") ?? 30_000,
    logLevel: levelOf(text("log-level")),
    revision: text("revision"),
  };
}

function parse(args: string[]) {
  const texts = Object.fromEntries(TEXTS.map((name) => [name, { type: "string" }])) as Record<
    (typeof TEXTS)[number],
    { type: "string" }
  >;
  const many = { type: "string", multiple: true } as const;
  const options = {
    ...texts,
    ...{ question: many, "allow-host": many, "allow-url": many },
    "insecure-no-auth": { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : "The arguments cannot be read.";
    throw new UsageError(`${reason} \`neuron-blip serve --help\` lists the options.`);
  }
}

/** Tells whether only this host reaches an address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** The longest time, in ms, of a timer: Node makes 1 ms of more. */
const MOST = 2 ** 31 - 1;

export function wholeNumber(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) < least) {
    throw new UsageError(`--${name} takes a whole number of ${least} or more, not "${text.slice(0, 100)}".`);
  }
  if (Number(text) > MOST) throw new UsageError(`--${name} takes ${MOST} at most, not ${text}.`);
  return Number(text);
}

export function portOf(name: string, text: string | undefined): number | undefined {
  const port = wholeNumber(name, text, 0);
  if (port !== undefined && port > 65_535) throw new UsageError(`--${name} takes a port, up to 65535, not ${port}.`);
  return port;
}

export function dtypeOf(text: string | undefined): ServeArguments["dtype"] {
  if (text === undefined || text === "float32" || text === "bfloat16" || text === "int8") return text;
  throw new UsageError(`--dtype takes float32, bfloat16 or int8, not "${text.slice(0, 100)}".`);
}

export function levelOf(text: string | undefined): string | undefined {
  if (text === undefined || ["fatal", "error", "warn", "info", "debug", "silent"].includes(text)) return text;
  throw new UsageError(`--log-level takes fatal, error, warn, info, debug or silent, not "${text.slice(0, 100)}".`);
}
