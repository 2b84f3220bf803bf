import { section, table } from "../report/elements.js";
import { barPlot, escapeHtml } from "../report/plots.js";
import { STYLE } from "../report/style.js";
import { milliseconds, perSecond } from "../report/words.js";
import { fastest } from "./bench-module.js";
import { type BenchReport, isMeasured } from "./report.js";

/** What `neuron-blip bench` found, as one HTML page, which needs no network. */
export function benchPage(report: BenchReport): string {
  const { file, ranOn, host, versions, threads, calls, results } = report;
  const measured = results.filter(isMeasured);
  const best = fastest(report);
  const rows = results.map((result) =>
    isMeasured(result)
      ? [
          String(result.batchSize),
          escapeHtml(result.file),
          ...[result.latencyMs.median, result.latencyMs.p90, result.latencyMs.p99, result.firstRunMs].map(milliseconds),
          milliseconds((result.latencyMs.median ?? 0) / result.batchSize),
          perSecond(result.rowsPerSecond, "rows"),
        ]
      : [String(result.batchSize), escapeHtml(result.file), escapeHtml(`${result.problem} [${result.code}]`)],
  );
  const throughput = measured.map(({ batchSize, rowsPerSecond }) => ({
    name: String(batchSize),
    value: rowsPerSecond,
    words: perSecond(rowsPerSecond, "rows"),
  }));
  const latency = measured.map(({ batchSize, latencyMs }) => ({
    name: String(batchSize),
    value: latencyMs.median ?? 0,
    words: milliseconds(latencyMs.median),
  }));
  const facts: [string, string][] = [
    ["ran on", ranOn],
    ["CPU", `${host.cpu}, ${threads ?? host.cores} of ${host.cores} cores`],
    ["system", `${host.system}, ${host.kernel}`],
    ["Node, libtorch", `${versions.node}, ${versions.libtorch}`],
    [
      "inputs",
      report.inputs.map(({ name, dtype, shape }) => `${name} ${shape.join(" x ")} ${dtype}`.trim()).join("; "),
    ],
  ];
  const heads = ["batch", "file", "median", "p90", "p99", "first run", "for each row", "throughput"];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>neuron-blip: batch sizes of ${escapeHtml(file)}</title>
<style>${STYLE}</style>
<h1>Batch sizes of ${escapeHtml(file)}</h1>
<p class="verdict pass">Most rows in a second: batches of ${best}.</p>
<p>${calls} calls of each batch size, in turn, one after another. Begun ${escapeHtml(report.startedAt.slice(0, 16).replace("T", " "))} UTC.</p>
${section("Latency and throughput", table(heads, rows))}
${section("Throughput", barPlot({ label: "Throughput by batch size", x: "batch size", y: "rows per second" }, throughput))}
${section("Latency", barPlot({ label: "Latency by batch size", x: "batch size", y: "time of a call, median, ms" }, latency))}
${section(
  "What it ran with",
  table(
    [],
    facts.map((row) => row.map(escapeHtml)),
  ),
)}
</html>
`;
}
