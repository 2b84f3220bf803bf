/** Pages of HTML that need no network: whatever is put into them is text, unless it is Html. */
import { STYLE } from "./style.js";

/** A piece of a page, ready to be written. */
export class Html {
  constructor(readonly text: string) {}
}

type Content = Html | string | number | readonly Content[];

/** Makes a piece of a page; what is put in is escaped, unless it is such a piece. */
export function html(pieces: TemplateStringsArray, ...contents: readonly Content[]): Html {
  return new Html(pieces.map((piece, i) => (i === 0 ? piece : textOf(contents[i - 1] ?? "") + piece)).join(""));
}

function textOf(content: Content): string {
  if (content instanceof Html) return content.text;
  return Array.isArray(content) ? content.map(textOf).join("\n") : escapeHtml(String(content));
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Makes a table of figures below heads, or, without heads, a list of names with what they stand for. */
export function table(heads: readonly string[], rows: readonly (readonly Content[])[]): Html {
  const head = heads.length > 0 ? html`<thead><tr>${heads.map((text) => html`<th>${text}</th>`)}</tr></thead>` : "";
  const body = rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`);
  const name = heads.length > 0 ? "figures" : "list";
  return html`<div class="scroll"><table class="${name}">${head}<tbody>${body}</tbody></table></div>`;
}

/** Makes a section of a page. @param content undefined where it was not measured. */
export function section(title: string, ...content: readonly (Content | undefined)[]): Html {
  const shown = content.filter((piece) => piece !== undefined);
  return html`<section>\n<h2>${title}</h2>\n${shown.length > 0 ? shown : html`<p>Not measured.</p>`}\n</section>`;
}

export interface Page {
  /** Of the window. */
  readonly title: string;
  readonly heading: string;
  readonly verdict?: { readonly status: "pass" | "fail"; readonly words: string };
  /** What stands before the sections. */
  readonly lead: Content;
  readonly sections: readonly Html[];
  /** CSS besides that of every page. */
  readonly style?: string;
}

export function page({ title, heading, verdict, lead, sections, style = "" }: Page): string {
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>neuron-blip: ${title}</title>
<style>${new Html(STYLE + style)}</style>
<h1>${heading}</h1>
${verdict ? html`<p class="verdict ${verdict.status}">${verdict.words}</p>` : ""}
<p>${lead}</p>
${sections}
</html>
`.text;
}

/** Says when a run began, such as "Begun 2026-01-02 03:04 UTC". */
export function begun(startedAt: string): string {
  return `Begun ${startedAt.slice(0, 16).replace("T", " ")} UTC`;
}
