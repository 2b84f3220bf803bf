import { begun, type Html, html, page, section, table } from "../report/page.js";
import { barPlot, histogramPlot, linePlot } from "../report/plots.js";
import type { Summary } from "../report/statistics.js";
import { megabytes, milliseconds, percent, perSecond, seconds, small } from "../report/words.js";
import type { Status } from "./check.js";
import type { Report } from "./validate.js";

const STATUS_WORDS: Readonly<Record<Status, string>> = {
  pass: "passed",
  warning: "look",
  fail: "failed",
  skipped: "not judged",
};

/** Shows a report as one HTML page, which needs no network. */
export function reportPage(report: Report): string {
  const { verdict, model, ranOn, ranOnWords, startedAt, seconds: time } = report;
  const caveat = ranOn === "stand-in" ? "No figure here is one of a device." : "Nothing here is about Neuron hardware.";
  const caution = ranOn === "stand-in" || ranOn === "cpu" ? html` <span class="caution">${caveat}</span>` : "";
  return page({
    title: `validation of ${model.directory}`,
    heading: `Validation of ${model.directory}`,
    verdict,
    lead: html`Ran on <b>${ranOnWords}</b>.${caution} ${begun(startedAt)}; it took ${seconds(time)}.`,
    sections: [
      section("Checks", checkTable(report)),
      section("Parts", partTables(report)),
      section("Latency", latency(report)),
      section("Throughput and memory", throughput(report)),
      section("Soak", soak(report)),
      section("What it ran with", facts(report)),
    ],
  });
}

/** Makes the table of checks; those that fail or warn come first. */
function checkTable({ checks }: Report): Html {
  const first: readonly Status[] = ["fail", "warning"];
  const others = checks.filter(({ status }) => !first.includes(status));
  const sorted = [...first.flatMap((status) => checks.filter((check) => check.status === status)), ...others];
  return table(
    [],
    sorted.map(({ id, status, what, cure }) => [
      html`<span class="status ${status}">${STATUS_WORDS[status]}</span>`,
      html`<code>${id}</code>`,
      html`${what}${cure && status !== "pass" ? html`<br><span class="cure">${cure}</span>` : ""}`,
    ]),
  );
}

function partTables({ parts }: Report): Html | undefined {
  if (parts.length === 0) return undefined;
  const accuracy = parts.flatMap(({ part, differences, tolerance }) =>
    differences.map(({ output, largest, mean, scale, relative, problem }) => {
      const value = Number(scale.toPrecision(3));
      return [part, output, small(largest), small(mean), value, problem || small(relative), small(tolerance)];
    }),
  );
  const times = parts.map(({ part, usesNeuron, loadMs, firstRunMs, latencyMs }) => {
    const runsOn = usesNeuron ? "Neuron" : "CPU";
    return [part, runsOn, milliseconds(loadMs), milliseconds(firstRunMs), ...summaryCells(latencyMs)];
  });
  return html`<p>Differences from transformers' results for the inputs that were recorded when the model was compiled, absolute and
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

function latency({ latency: result, unit }: Report): Html | undefined {
  if (!result) return undefined;
  const { from, to, counts, beyond } = result.histogram;
  const x = `time of one call, ms${beyond > 0 ? ` (${beyond} beyond ${milliseconds(to)} not shown)` : ""}`;
  return html`<p>Whole calls, by one caller on one replica, from pixels of 640 × 480 to ${unit}: no file is decoded in
these times. The first came ${milliseconds(result.firstAnswerMs)} after loading began, of which loading was ${milliseconds(result.loadMs)}.</p>
${table(["", ...SUMMARY_HEADS], [[unit, ...summaryCells(result.latencyMs)]])}
${histogramPlot({ label: "Distribution of latency", x, y: `${unit}, count` }, from, to, counts)}`;
}

function throughput({ throughput: results, unit, ranOn }: Report): Html | undefined {
  const [one] = results;
  const last = results.at(-1);
  if (!one || !last) return undefined;
  const rows = results.map((result) => {
    const { replicas, callers, answersPerSecond, latencyMs } = result;
    const factor = answersPerSecond / one.answersPerSecond;
    return [
      replicas,
      callers,
      perSecond(answersPerSecond, unit),
      `${factor.toFixed(2)} × (${percent((factor * one.replicas) / replicas)})`,
      ...[latencyMs.median, latencyMs.p99, result.loadMs].map(milliseconds),
      ...[result.rssAfterLoad, result.rssAfterFirstAnswers, result.rssPeak].map(megabytes),
    ];
  });
  const growth = (last.rssAfterFirstAnswers - one.rssAfterFirstAnswers) / (last.replicas - one.replicas);
  const further =
    last.replicas > one.replicas && html`<p>Each further replica took ${megabytes(growth)} of memory.</p>`;
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
  return html`<p>Two callers for each replica, each number of replicas in a process of its own. ${marks} Memory is the process's
RSS.</p>
${table(["replicas", "callers", "throughput", "against one", "median", "p99", "load", "after load", "after first answers", "peak"], rows)}
${further || ""}
${barPlot({ label: "Throughput by replicas", x: "replicas", y: `${unit} per second` }, bars)}`;
}

function soak({ soak: result, unit }: Report): Html | undefined {
  if (!result) return undefined;
  const errors = Object.entries(result.errors).map(([code, count]) => `${count} ${code}`);
  const { largest, p99 } = result.eventLoopDelayMs;
  const rows = [
    ["replicas, callers", `${result.replicas}, ${result.callers}`],
    ["time", seconds(result.seconds)],
    [unit, `${result.answers} (${perSecond(result.answersPerSecond, unit)})`],
    ["other than the first for the same input", String(result.differentAnswers)],
    ["errors", errors.join(", ") || "none"],
    ["latency, median and p99", `${milliseconds(result.latencyMs.median)}, ${milliseconds(result.latencyMs.p99)}`],
    ["delay of the event loop, largest and p99", `${milliseconds(largest)}, ${milliseconds(p99)}`],
    ["memory (RSS), peak", megabytes(result.rssPeak)],
    ["growth once warm", result.growth === null ? "not judged: too short" : megabytes(result.growth)],
  ];
  const points = result.samples.map((sample) => [sample.seconds, sample.rss / 1e6] as const);
  return html`${table([], rows)}
${linePlot({ label: "Memory over the soak", x: "time, s", y: "memory (RSS), MB; the axis does not begin at 0" }, points)}`;
}

function facts({ versions, host, model, settings }: Report): Html {
  const { neuronCores, libtorch, cxx11Abi } = versions;
  const compiledWith = Object.entries(model.versions).flatMap(([name, version]) =>
    version ? [`${name} ${version}`] : [],
  );
  const { batchSize, imageSize, questionLength, answerLength, compilerArgs: args } = model;
  const { replicas, threads, measureSeconds, soakSeconds } = settings;
  return table(
    [],
    [
      ["neuron-blip", versions["neuron-blip"]],
      ["Node", versions.node],
      ["libtorch", libtorch ? `${libtorch} (C++11 ABI: ${cxx11Abi})` : "–"],
      ["Neuron runtime", versions.libnrt ?? "none"],
      ["Neuron driver", host.neuronDriver ?? "none"],
      ["NeuronCores", neuronCores ? `${neuronCores.visible} visible of ${neuronCores.total}` : "none"],
      ["CPU", `${host.cpu} (${host.architecture}), ${host.cores} cores`],
      ["memory", `${(host.memory / 2 ** 30).toFixed(1)} GiB`],
      ["system", `${host.system}, ${host.kernel}`],
      ["model", `${model.architecture}${model.source ? `, from ${model.source}` : ""}`],
      ["compiled for", [model.target, ...(args.length > 0 ? [args.join(" ")] : [])].join(", ")],
      ["compiled with", compiledWith.join(", ") || "unknown: no neuron_blip.json"],
      [
        "shapes",
        `batch ${batchSize ?? "–"}, pictures of ${imageSize} pixels, questions of ${questionLength ?? "–"} tokens, answers of ${answerLength ?? "–"} tokens`,
      ],
      [
        "settings",
        `up to ${replicas} replicas, ${threads ?? "an equal share of the"} cores each, ${seconds(measureSeconds)} for each measurement, soak of ${seconds(soakSeconds)}`,
      ],
    ],
  );
}
