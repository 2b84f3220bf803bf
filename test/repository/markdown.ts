// Reads this project's documents, which use little of Markdown: fences and headings begin a line.
import { readFileSync } from "node:fs";

export interface Snippet {
  language: string;
  /** Of its first line, from 1. */
  line: number;
  text: string;
}

export interface InlineText {
  line: number;
  text: string;
}

export interface Document {
  snippets: Snippet[];
  /** Pieces of `code` within sentences and tables. */
  code: InlineText[];
  /** The targets of links. */
  links: InlineText[];
  /** What a link behind # names: GitHub's form of each heading. */
  anchors: string[];
}

/** @throws Error for a fence that does not end, or begins within a line, where it might go unread. */
export function readDocument(path: string): Document {
  const document: Document = { snippets: [], code: [], links: [], anchors: [] };
  let open: Snippet | undefined;
  for (const [i, text] of readFileSync(path, "utf8").split("\n").entries()) {
    const line = i + 1;
    const fence = /^```(.*)$/.exec(text);
    if (open) {
      if (fence) open = undefined;
      else open.text += `${text}\n`;
    } else if (fence) {
      open = { language: (fence[1] ?? "").trim(), line: line + 1, text: "" };
      document.snippets.push(open);
    } else {
      if (/```|~~~/.test(text)) throw new Error(`${path}:${line}: begin a fence with \`\`\` at the start of its line.`);
      readLine(text, line, document);
    }
  }
  if (open) throw new Error(`${path}:${open.line}: the fence before this line does not end.`);
  return document;
}

function readLine(text: string, line: number, document: Document): void {
  const heading = /^#+ (.*)$/.exec(text)?.[1];
  if (heading !== undefined) document.anchors.push(anchorOf(heading));
  // A table's cell writes | as \|.
  for (const [, code = ""] of text.matchAll(/`([^`]+)`/g)) {
    document.code.push({ line, text: code.replaceAll("\\|", "|") });
  }
  for (const [, target = ""] of text.replaceAll(/`[^`]+`/g, "").matchAll(/\]\(([^)\s]+)\)/g)) {
    document.links.push({ line, text: target });
  }
}

/** As GitHub makes it: lower case, without punctuation, hyphens for spaces. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");
}
