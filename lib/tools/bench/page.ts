import { begun, page, section, table } from "../report/page.js";
import { barPlot } from "../report/plots.js";
import { milliseconds, perSecond } from "../report/words.js";
import type { BenchReport } from "./bench-module.js";
import { fastest, isMeasured, timesOf } from "./words.js";

/** Shows what `neuron-blip bench` found, as one HTML page, which needs no network. */
export function benchPage(report: BenchReport): string {
  const { file, ranOn, host, versions, threads, calls, startedAt, inputs, results } = report;
  const measured = results.filter(isMeasured);
  const rows = results.map((result) => {
    const cells = isMeasured(result) ? timesOf(result) : [`${result.problem} [${result.code}]`];
    return [result.batchSize, result.file, ...cells];
  });
  const throughput = measured.map(({ batchSize, rowsPerSecond }) => {
    return { name: String(batchSize), value: rowsPerSecond, words: perSecond(rowsPerSecond, "rows") };
  });
  const latency = measured.map(({ batchSize, latencyMs: { median } }) => {
    return { name: String(batchSize), value: median ?? 0, words: milliseconds(median) };
  });
  const takes = inputs.map(({ name, dtype, shape }) => `${name} ${shape.join(" x ")} ${dtype}`.trim()).join("; ");
  const heads = ["batch", "file", "median", "p90", "p99", "first run", "for each row", "throughput"];
  const [byRows, byTime] = [
    { label: "Throughput by batch size", x: "batch size", y: "rows per second" },
    { label: "Latency by batch size", x: "batch size", y: "time of a call, median, ms" },
  ];
  return page({
    title: `batch sizes of ${file}`,
    heading: `Batch sizes of ${file}`,
    verdict: { status: "pass", words: `Most rows in a second: batches of ${fastest(report)}.` },
    lead: `${calls} calls of each batch size, in turn, one after another. ${begun(startedAt)}.`,
    sections: [
      section("Latency and throughput", table(heads, rows)),
      section("Throughput", barPlot(byRows, throughput)),
      section("Latency", barPlot(byTime, latency)),
      section(
        "What it ran with",
        table(
          [],
          [
            ["ran on", ranOn],
            ["CPU", `${host.cpu}, ${threads ?? host.cores} of ${host.cores} cores`],
            ["system", `${host.system}, ${host.kernel}`],
            ["Node, libtorch", `${versions.node}, ${versions.libtorch}`],
            ["inputs", takes],
          ],
        ),
      ),
    ],
  });
}
