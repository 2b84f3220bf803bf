import { section, table } from "../report/elements.js";
import { barPlot, escapeHtml, histogramPlot, linePlot } from "../report/plots.js";
import type { Summary } from "../report/statistics.js";
import { STYLE } from "../report/style.js";
import { megabytes, milliseconds, percent, perSecond, seconds, small } from "../report/words.js";
import type { Check, Report, Status } from "./report.js";

const STATUS_WORDS: Readonly<Record<Status, string>> = {
  pass: "passed",
  warning: "look",
  fail: "failed",
  skipped: "not judged",
};

/** A report as one HTML page, which needs no network. */
export function reportPage(report: Report): string {
  const { verdict, model, ranOn } = report;
  const caution = ranOn === "neuron" ? "" : ` <span class="caution">${caveat(report)}</span>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>neuron-blip: validation of ${escapeHtml(model.directory)}</title>
<style>${STYLE}</style>
<h1>Validation of ${escapeHtml(model.directory)}</h1>
<p class="verdict ${verdict.status}">${escapeHtml(verdict.words)}</p>
<p>Ran on <b>${escapeHtml(report.ranOnWords)}</b>.${caution} Begun ${escapeHtml(report.startedAt.slice(0, 16).replace("T", " "))} UTC; it took ${seconds(report.seconds)}.</p>
${section("Checks", checkTable(report))}
${section("Parts", partTables(report))}
${section("Latency", latency(report))}
${section("Throughput and memory", throughput(report))}
${section("Soak", soak(report))}
${section("What it ran with", facts(report))}
</html>
`;
}

function caveat({ ranOn }: Report): string {
  if (ranOn === "stand-in") return "No figure here is one of a device.";
  return ranOn === "cpu" ? "Nothing here is about Neuron hardware." : "";
}

/** What needs a reader's eye comes first. */
const ORDER: readonly Status[] = ["fail", "warning"];

function checkTable({ checks }: Report): string {
  const rank = ({ status }: Check) => (ORDER.indexOf(status) + 1 || ORDER.length + 1) - 1;
  const sorted = [...checks].sort((one, other) => rank(one) - rank(other));
  return table(
    [],
    sorted.map(({ id, status, what, cure }) => [
      `<span class="status ${status}">${STATUS_WORDS[status]}</span>`,
      `<code>${escapeHtml(id)}</code>`,
      escapeHtml(what) + (cure && status !== "pass" ? `<br><span class="cure">${escapeHtml(cure)}</span>` : ""),
    ]),
  );
}

function partTables({ parts }: Report): string {
  if (parts.length === 0) return "";
  const accuracy = parts.flatMap(({ part, differences, tolerance }) =>
    differences.map(({ output, largest, mean, scale, relative, problem }) => [
      escapeHtml(part),
      escapeHtml(output),
      small(largest),
      small(mean),
      String(Number(scale.toPrecision(3))),
      problem ? escapeHtml(problem) : small(relative),
      small(tolerance),
    ]),
  );
  const times = parts.map(({ part, usesNeuron, loadMs, firstRunMs, latencyMs }) => [
    escapeHtml(part),
    usesNeuron ? "Neuron" : "CPU",
    milliseconds(loadMs),
    milliseconds(firstRunMs),
    ...summaryCells(latencyMs),
  ]);
  return `<p>Differences from transformers' results for the inputs that were recorded when the model was compiled, absolute and
relative to the largest recorded value.</p>
${table(["part", "output", "largest", "mean", "largest value", "relative", "tolerance"], accuracy)}
<p>Times. Each part was loaded in a fresh process (the first one's time includes starting libtorch; the system may still have
had the files in memory), and timed after 4 runs.</p>
${table(["part", "runs on", "load", "first run", ...SUMMARY_HEADS], times)}`;
}

const SUMMARY_HEADS = ["median", "p90", "p99", "min", "max", "runs"];

function summaryCells({ median, p90, p99, min, max, count }: Summary): string[] {
  return [...[median, p90, p99, min, max].map(milliseconds), String(count)];
}

function latency({ latency: result, unit }: Report): string {
  if (!result) return "";
  const { from, to, counts, beyond } = result.histogram;
  const x = `time of one call, ms${beyond > 0 ? ` (${beyond} beyond ${milliseconds(to)} not shown)` : ""}`;
  return `<p>Whole calls, by one caller on one replica, from pixels of 640 × 480 to ${escapeHtml(unit)}: no file is decoded in
these times. The first came ${milliseconds(result.firstAnswerMs)} after loading began, of which loading was ${milliseconds(result.loadMs)}.</p>
${table(["", ...SUMMARY_HEADS], [[escapeHtml(unit), ...summaryCells(result.latencyMs)]])}
${histogramPlot({ label: "Distribution of latency", x, y: `${unit}, count` }, from, to, counts)}`;
}

function throughput({ throughput: results, unit, ranOn }: Report): string {
  const [one] = results;
  if (!one) return "";
  const rows = results.map((result) => {
    const factor = result.answersPerSecond / one.answersPerSecond;
    return [
      String(result.replicas),
      String(result.callers),
      perSecond(result.answersPerSecond, unit),
      `${factor.toFixed(2)} × (${percent((factor * one.replicas) / result.replicas)})`,
      milliseconds(result.latencyMs.median),
      milliseconds(result.latencyMs.p99),
      milliseconds(result.loadMs),
      megabytes(result.rssAfterLoad),
      megabytes(result.rssAfterFirstAnswers),
      megabytes(result.rssPeak),
    ];
  });
  const last = results.at(-1) ?? one;
  const further =
    last.replicas > one.replicas
      ? `<p>Each further replica took ${megabytes((last.rssAfterFirstAnswers - one.rssAfterFirstAnswers) / (last.replicas - one.replicas))}
of memory.</p>`
      : "";
  const bars = results.map(({ replicas, answersPerSecond }) => ({
    name: String(replicas),
    value: answersPerSecond,
    words: perSecond(answersPerSecond, unit),
    ...(ranOn !== "cpu" && replicas > 1 && { target: (one.answersPerSecond * replicas) / one.replicas }),
  }));
  const marks =
    ranOn === "cpu"
      ? "On the CPU, replicas share the cores."
      : "Dashed lines mark one replica's throughput times their number.";
  return `<p>Two callers for each replica, each number of replicas in a process of its own. ${marks} Memory is the process's
RSS.</p>
${table(["replicas", "callers", "throughput", "against one", "median", "p99", "load", "after load", "after first answers", "peak"], rows)}
${further}
${barPlot({ label: "Throughput by replicas", x: "replicas", y: `${unit} per second` }, bars)}`;
}

function soak({ soak: result, unit }: Report): string {
  if (!result) return "";
  const errors = Object.entries(result.errors).map(([code, count]) => `${count} ${code}`);
  const { largest, p99 } = result.eventLoopDelayMs;
  const rows = [
    ["replicas, callers", `${result.replicas}, ${result.callers}`],
    ["time", seconds(result.seconds)],
    [escapeHtml(unit), `${result.answers} (${perSecond(result.answersPerSecond, unit)})`],
    ["other than the first for the same input", String(result.differentAnswers)],
    ["errors", escapeHtml(errors.join(", ") || "none")],
    ["latency, median and p99", `${milliseconds(result.latencyMs.median)}, ${milliseconds(result.latencyMs.p99)}`],
    ["delay of the event loop, largest and p99", `${milliseconds(largest)}, ${milliseconds(p99)}`],
    ["memory (RSS), peak", megabytes(result.rssPeak)],
    ["growth once warm", result.growth === null ? "not judged: too short" : megabytes(result.growth)],
  ];
  const points = result.samples.map((sample) => [sample.seconds, sample.rss / 1e6] as const);
  return `${table([], rows)}
${linePlot({ label: "Memory over the soak", x: "time, s", y: "memory (RSS), MB; the axis does not begin at 0" }, points)}`;
}

function facts({ versions, host, model, settings }: Report): string {
  const { neuronCores } = versions;
  const rows: [string, string][] = [
    ["neuron-blip", versions["neuron-blip"]],
    ["Node", versions.node],
    ["libtorch", versions.libtorch ? `${versions.libtorch} (C++11 ABI: ${versions.cxx11Abi})` : "–"],
    ["Neuron runtime", versions.libnrt ?? "none"],
    ["Neuron driver", host.neuronDriver ?? "none"],
    ["NeuronCores", neuronCores ? `${neuronCores.visible} visible of ${neuronCores.total}` : "none"],
    ["CPU", `${host.cpu} (${host.architecture}), ${host.cores} cores`],
    ["memory", `${(host.memory / 2 ** 30).toFixed(1)} GiB`],
    ["system", `${host.system}, ${host.kernel}`],
    ["model", `${model.architecture}${model.source ? `, from ${model.source}` : ""}`],
    ["compiled for", `${model.target}${model.compilerArgs.length > 0 ? `, ${model.compilerArgs.join(" ")}` : ""}`],
    [
      "compiled with",
      Object.entries(model.versions)
        .filter(([, version]) => version !== null)
        .map(([name, version]) => `${name} ${version}`)
        .join(", ") || "unknown: no neuron_blip.json",
    ],
    [
      "shapes",
      `batch ${model.batchSize ?? "–"}, pictures of ${model.imageSize ?? "–"} pixels, questions of ${model.questionLength ?? "–"} tokens, answers of ${model.answerLength ?? "–"} tokens`,
    ],
    [
      "settings",
      `up to ${settings.replicas} replicas, ${settings.threads ?? "an equal share of the"} cores each, ${seconds(settings.measureSeconds)} for each measurement, soak of ${seconds(settings.soakSeconds)}`,
    ],
  ];
  return table(
    [],
    rows.map((row) => row.map(escapeHtml)),
  );
}
