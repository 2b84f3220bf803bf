/** Pieces of a page. */

/** @param rows of HTML. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = heads.length > 0 ? `<thead><tr>${heads.map((text) => `<th>${text}</th>`).join("")}</tr></thead>` : "";
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`).join("\n");
  return `<div class="scroll"><table class="${heads.length > 0 ? "figures" : "list"}">${head}<tbody>${body}</tbody></table></div>`;
}

/** @param content HTML; empty where it was not measured. */
export function section(title: string, content: string): string {
  return `<section>\n<h2>${title}</h2>\n${content || "<p>Not measured.</p>"}\n</section>`;
}
