/** Names of models on the Hugging Face Hub, and of their revisions. */
import { NeuronBlipError } from "../errors.js";
import { shown } from "./values.js";

const PART = /^[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?$/;
const LONGEST_NAME = 96;
const LONGEST_REVISION = 200;
/** What git takes in no name of a branch or tag, and what would leave the cache's folder. */
const NO_REVISION = /^[/-]|\.\.|\/\/|[/.]$|(?:^|\/)\.|\.lock$|[\s~^:?*[\\]|@\{/;

/** The branch that is meant where none is named. */
export const DEFAULT_REVISION = "main";

/** Says whether a text may be a model's name on the Hub, by the Hub's own rules: "owner/name". */
export function isHubName(text: string): boolean {
  const parts = text.split("/");
  return (
    parts.length === 2 &&
    text.length <= LONGEST_NAME &&
    parts.every((part) => PART.test(part)) &&
    !/--|\.\.|\.git$/.test(text)
  );
}

/**
 * Returns the branch, tag or commit that was asked for.
 * @throws NeuronBlipError `INVALID_INPUT` for what can be none.
 */
export function revisionOf(given: unknown): string {
  if (given === undefined) return DEFAULT_REVISION;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: git takes none of them
  const takes = (text: string) => text !== "" && !NO_REVISION.test(text) && !/[\x00-\x1f\x7f]/.test(text);
  if (typeof given === "string" && given.length <= LONGEST_REVISION && takes(given)) return given;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `revision must be a branch, a tag or a commit of a model on the Hugging Face Hub, such as "main", not ${shown(given)}.`,
  );
}

/** Says whether a revision is a commit in full, which never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
