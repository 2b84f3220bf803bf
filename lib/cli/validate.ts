import { rmdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Status } from "../tools/validate/check.js";
import { reportPage } from "../tools/validate/page.js";
import { type Report, type ValidateOptions, validate } from "../tools/validate/validate.js";
import { HUB_ARGUMENTS, hubHelp, hubOptions, orHubName } from "./hub-arguments.js";
import { makeOutputDirectory, print, say, writeOutput } from "./output.js";
import { command, count, defined, switches, texts, UsageError } from "./usage.js";

const HELP = `Checks a model on this host: its parts against what was recorded when it was compiled, latency, throughput, memory,
minutes of steady load, and how processes end. Writes report.json and report.html, a page to read and to send.

Usage: neuron-blip validate MODEL [options]

  MODEL  a model directory, made by \`neuron-blip compile\`;
${orHubName(9)}

  --replicas N|all   the most replicas (default: all, one for each NeuronCore; on the CPU 2)
  --threads N        cores of the CPU for each replica (default: an equal share)
  --measure SECONDS  how long each latency and each throughput is measured (default 10)
  --soak SECONDS     how long the steady load is (default 120)
  --quick            the same in little time: --measure 1 --soak 5
  --out DIR2         where the reports go (default: neuron-blip-report)
${hubHelp(19)}
  --json             print report.json too
  --help             print this

Progress goes to the standard error. Ctrl-C stops, and what there is by then is written.
Exit codes: 0 passed, 1 failed or stopped, 2 wrong arguments.`;

const MARKS: Readonly<Record<Status, string>> = { pass: "ok  ", warning: "look", fail: "FAIL", skipped: "–   " };

const OPTIONS = {
  ...texts("replicas", "threads", "measure", "soak", "out"),
  ...switches("quick", "json"),
  ...HUB_ARGUMENTS,
} as const;

/** Runs `neuron-blip validate`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [given, ...others] = positionals;
  if (given === undefined || others.length > 0) {
    throw new UsageError("validate takes one model. `neuron-blip validate --help` tells more.");
  }
  const replicas = values.replicas === "all" ? "all" : count("replicas", values.replicas);
  const measureSeconds = time("measure", values.measure) ?? (values.quick ? 1 : undefined);
  const soakSeconds = time("soak", values.soak) ?? (values.quick ? 5 : undefined);
  const options = defined<ValidateOptions>({
    replicas,
    threads: count("threads", values.threads),
    measureSeconds,
    soakSeconds,
  });
  const out = values.out ?? "neuron-blip-report";
  const hub = hubOptions(values);
  const isNew = await makeOutputDirectory(out);

  const stopped = new AbortController();
  const stop = () => {
    if (stopped.signal.aborted) process.exit(1);
    say("neuron-blip: stopping; what there is will be written. Ctrl-C again ends at once.");
    stopped.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  let report: Report;
  try {
    const tell = (text: string) => say(`neuron-blip: ${text}`);
    report = await validate(given, { ...options, hub, signal: stopped.signal, say: tell });
  } catch (error) {
    if (isNew) await rmdir(out).catch(() => {});
    throw error;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }

  const json = `${JSON.stringify(report, undefined, 2)}\n`;
  const page = join(out, "report.html");
  await writeOutput(join(out, "report.json"), json);
  await writeOutput(page, reportPage(report));
  if (values.json) print(json.trimEnd());
  // Of the JSON only the report goes to the standard output.
  const tell = values.json ? say : print;
  for (const { status, what, cure } of report.checks) {
    tell(`${MARKS[status]}  ${what}${status !== "pass" && cure ? `\n      ${cure}` : ""}`);
  }
  tell(`\n${report.verdict.words}\nRan on ${report.ranOnWords}.\nThe report: ${relative(process.cwd(), page) || page}`);
  return report.verdict.status === "pass" ? 0 : 1;
});

function time(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text)) throw new UsageError(`--${name} takes a number of seconds, not "${text}".`);
  return Number(text);
}
