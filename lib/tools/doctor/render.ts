import { counted } from "../report/words.js";
import type { Report } from "./doctor.js";
import type { Finding, Status } from "./finding.js";

const MARKS: Readonly<Record<Status, string>> = { ok: "✓", warning: "!", problem: "✗", skipped: "-" };

/** Writes a report for people: a line per finding, its mark first; below it, indented, what to do. */
export function render({ version, host, findings }: Report, columns = 120): string {
  const idWidth = Math.max(...findings.map(({ id }) => id.length));
  const indent = " ".repeat(idWidth + 4);
  const width = Math.max(30, columns - indent.length);
  const lines = findings.flatMap(({ id, status, what, cure }) => {
    const [first = "", ...rest] = wrap(what, width);
    const cures = cure === undefined ? [] : wrap(`-> ${cure}`, width);
    return [`${MARKS[status]} ${id.padEnd(idWidth)}  ${first}`, ...[...rest, ...cures].map((line) => indent + line)];
  });
  return [`neuron-blip ${version} on ${host}`, "", ...lines, "", summary(findings)].join("\n");
}

function summary(findings: readonly Finding[]): string {
  const count = (status: Status) => findings.filter((finding) => finding.status === status).length;
  const [problems, warnings] = [count("problem"), count("warning")];
  if (problems > 0) return `${counted(problems, "problem")}, ${counted(warnings, "warning")}.`;
  return warnings > 0 ? `No problems, ${counted(warnings, "warning")}.` : "No problems.";
}

/** Breaks a text between words; a word that is longer than a line, such as a path, keeps a line of its own. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
