import { parseArgs } from "node:util";
import { type QueueAddress, readQueueAddress } from "../jobs/queues.js";
import { dtypeOf, levelOf, portOf, UsageError, wholeNumber } from "./arguments.js";
import type { ModelArguments } from "./model-options.js";

export const HELP = `neuron-blip work does the jobs of a BullMQ queue in Redis: each has a picture and questions, and gets one result.

Usage: neuron-blip work MODEL --queue redis://HOST:PORT/NAME [options]

  MODEL                  a model directory, or a name on the Hugging Face Hub such as Salesforce/blip-vqa-base
  --queue URL            the queue: redis:// or rediss://, USER:PASSWORD@ where Redis has them, and the queue's name as the path;
                         /2/NAME: in database 2
  --question TEXT        asked of every job that has no questions; give it for each
  --files-root DIR       read jobs' files, in this directory (default: none is read)
  --allow-url HOST       a host that pictures may be fetched from, as HOST or HOST:PORT; give it for each (default: none)
  --concurrency N        how many jobs run at a time (default 8)
  --latest-by FIELD      a turn for each value of this field of the jobs' data, such as camera: its newest job is done, and those
                         before it are not
  --redrive              take up the dead letters that there are now, each for one chance more, and end
  --keep-results S       how long results are kept, in s (default 86400)
  --name NAME            what results call the model (default: the last part of MODEL)
  --replicas N           how many replicas to load, or "all": one for each NeuronCore (default 1)
  --threads N            cores of the CPU for each replica (default: an equal share)
  --decoder-threads N    how many pictures are decoded at a time (default: one for each core, but 2 to 4)
  --dtype TYPE           of a checkpoint on the CPU: float32, bfloat16 or int8
  --max-body BYTES       the largest picture file (default 10485760)
  --max-pixels N         the largest picture, in pixels (default 20000000)
  --timeout MS           how long a job may take (default 30000)
  --lock MS              how long a job is a worker's without a word from it, before it is another's (default 30000)
  --metrics-port N       serve /metrics, /livez and /readyz on this port, without a key
  --metrics-host HOST    the address for it (default 127.0.0.1)
  --grace MS             after SIGTERM, when to stop whatever is under way (default 30000)
  --log-level LEVEL      fatal, error, warn, info, debug or silent (default info)
  --revision REV         of a model on the Hub: a branch, tag or commit (default main)
  --help                 print this

Exit codes: 0 ended by a signal with all jobs in hand finished, or all dead letters taken up; 1 failed, lost its model, stopped in the
midst, or some are dead letters again; 2 wrong arguments.`;

const TEXTS = [
  ...["queue", "files-root", "latest-by", "name", "replicas", "threads", "decoder-threads", "dtype"],
  ...[
    "concurrency",
    "keep-results",
    "max-body",
    "max-pixels",
    "timeout",
    "metrics-port",
    "metrics-host",
    "grace",
    "lock",
  ],
  ...["log-level", "revision"],
];

/** What the command line says. */
export interface WorkArguments extends ModelArguments {
  readonly model: string;
  readonly queue: QueueAddress;
  readonly questions: readonly string[];
  readonly filesRoot: string | undefined;
  readonly allowedUrls: readonly string[];
  readonly concurrency: number;
  readonly latestBy: string | undefined;
  readonly redrive: boolean;
  readonly keepResults: number;
  readonly name: string | undefined;
  readonly maxBody: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly metricsPort: number | undefined;
  readonly metricsHost: string;
  readonly graceMs: number;
  readonly lockMs: number;
  readonly logLevel: string;
}

/** Reads the arguments of `work`. @returns undefined where help is asked for. @throws UsageError */
export function readWorkArguments(args: string[]): WorkArguments | undefined {
  const { values, positionals } = parse(args);
  if (values.help === true) return undefined;
  const [model, ...others] = positionals;
  const text = (name: string) => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  const many = (name: string) => {
    const value = values[name];
    return Array.isArray(value) ? value.map(String) : [];
  };
  const number = (name: string, least = 1) => wholeNumber(name, text(name), least);
  if (model === undefined || others.length > 0) {
    throw new UsageError("work takes one model. `neuron-blip work --help` tells more.");
  }
  const queue = readQueueAddress(text("queue") ?? "");
  if (queue === undefined) throw new UsageError("work needs --queue redis://HOST:PORT/NAME.");
  const concurrency = number("concurrency") ?? 8;
  return {
    model,
    queue,
    questions: many("question"),
    filesRoot: text("files-root"),
    allowedUrls: many("allow-url"),
    concurrency,
    latestBy: text("latest-by"),
    redrive: values.redrive === true,
    keepResults: number("keep-results") ?? 86_400,
    name: text("name"),
    replicas: text("replicas") === "all" ? "all" : number("replicas"),
    threads: number("threads"),
    decoderThreads: number("decoder-threads"),
    dtype: dtypeOf(text("dtype")),
    // Each job is one call.
    maxWaiting: concurrency,
    maxPixels: number("max-pixels"),
    maxBody: number("max-body"),
    timeoutMs: number("timeout"),
    metricsPort: portOf("metrics-port", text("metrics-port")),
    metricsHost: text("metrics-host") ?? "127.0.0.1",
    graceMs: number("grace") ?? 30_000,
    lockMs: number("lock", 1000) ?? 30_000,
    logLevel: levelOf(text("log-level")) ?? "info",
    revision: text("revision"),
  };
}

function parse(args: string[]) {
  const options: NonNullable<Parameters<typeof parseArgs>[0]>["options"] = {
    ...Object.fromEntries(TEXTS.map((name) => [name, { type: "string" } as const])),
    question: { type: "string", multiple: true },
    "allow-url": { type: "string", multiple: true },
    redrive: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  };
  try {
    return parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : "The arguments cannot be read.";
    throw new UsageError(`${reason} \`neuron-blip work --help\` lists the options.`);
  }
}
