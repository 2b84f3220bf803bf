import { benchModule } from "../tools/bench/bench-module.js";
import { parseInput } from "../tools/bench/input-specs.js";
import { benchPage } from "../tools/bench/page.js";
import { fastest, isMeasured, timesOf } from "../tools/bench/words.js";
import { checkOutput, print, writeOutput } from "./output.js";
import { command, count, defined, texts, UsageError } from "./usage.js";

const HELP = `Times a TorchScript file at several batch sizes, which take turns: latency and rows per second of each.

Usage: neuron-blip bench FILE.pt [options]

  FILE.pt   any TorchScript file; for one that \`neuron-blip compile\` made, what it takes is known. A batch size that has a file
            of its own beside it, NAME_batch_N.pt, runs on that

  --batch N,N,…    the batch sizes (default: 1,2,4,8): the first dimension of every input that has two or more
  --input SHAPE    what the file takes, where it is not known: once for each input, such as 1x3x224x224:float32
  --threads N      cores of the CPU (default: all)
  --calls N        timed calls of each batch size (default: 50)
  --json FILE      write the figures
  --html FILE      write a page with plots
  --help           print this

A batch size that the module refuses is told with the reason. Exit codes: 0 done, 1 a batch size failed, 2 wrong arguments.`;

/** Of a column. */
const WIDTH = 14;
/** Its place among the times; the page tells it. */
const FIRST_RUN = 3;

const OPTIONS = { ...texts("batch", "threads", "calls", "json", "html"), input: "strings" } as const;

/** Runs `neuron-blip bench`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [path, ...others] = positionals;
  if (path === undefined || others.length > 0) {
    throw new UsageError("bench takes one TorchScript file. `neuron-blip bench --help` tells more.");
  }
  const batchSizes = [...new Set((values.batch ?? "1,2,4,8").split(",").map((text) => count("batch", text)))];
  const inputs = values.input?.map(parseInput);
  const threads = count("threads", values.threads);
  const calls = count("calls", values.calls);
  for (const file of [values.json, values.html]) if (file !== undefined) await checkOutput(file);
  const report = await benchModule(path, { batchSizes, ...defined({ inputs, threads, calls }) });

  print(`${report.file} on ${report.ranOn}, ${report.calls} calls of each batch size`);
  const row = (cells: readonly string[]) => print(cells.map((cell) => cell.padStart(WIDTH)).join(""));
  row(["batch", "median", "p90", "p99", "for each row", "throughput"]);
  for (const result of report.results) {
    if (isMeasured(result)) row([String(result.batchSize), ...timesOf(result).filter((_, i) => i !== FIRST_RUN)]);
    else print(`${String(result.batchSize).padStart(WIDTH)}    ${result.problem} [${result.code}]`);
  }
  print(`Most rows in a second: batches of ${fastest(report)}.`);
  if (values.json !== undefined) await writeOutput(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (values.html !== undefined) await writeOutput(values.html, benchPage(report));
  return report.results.every(isMeasured) ? 0 : 1;
});
