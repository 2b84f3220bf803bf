/** What the environment says of the Hugging Face Hub and of its cache: the variables that Python's huggingface_hub reads. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { oneLine, shown } from "../util/values.js";

export interface HubSettings {
  /** The Hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** The folder with the models' folders. */
  readonly cache: string;
  /** What the Hub is shown, and where it was found; for private and gated models. */
  readonly token: { readonly value: string; readonly from: string } | undefined;
  /** The variable that forbids asking the Hub, where one does. */
  readonly offline: string | undefined;
  /** How long the Hub may take to answer a question, in ms. */
  readonly lookUpMs: number;
  /** How long a transfer may stand still, in ms. */
  readonly stallMs: number;
  /** The pauses before a request is sent again, in ms; after the last, it has failed. */
  readonly retryDelaysMs: readonly number[];
  /** Whether files may be symbolic links to what the cache keeps by content. */
  readonly symlinks: boolean;
  /** Whether a terminal may show how far a transfer is. */
  readonly progressBars: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = "https://huggingface.co";
const DEFAULT_SECONDS = 10;
const RETRY_DELAYS_MS = [0, 1000, 2000, 4000, 8000];
const LARGEST_TOKEN_FILE = 10_000;

/**
 * Reads the settings.
 * @throws NeuronBlipError `INVALID_INPUT` for a variable that says nothing usable; its value is not told where it may be a secret.
 */
export async function readHubSettings(env: Environment = process.env): Promise<HubSettings> {
  const home =
    pathIn(env, "HF_HOME") ?? join(pathIn(env, "XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface");
  const cache = pathIn(env, "HF_HUB_CACHE") ?? pathIn(env, "HUGGINGFACE_HUB_CACHE") ?? join(home, "hub");
  return {
    endpoint: endpointIn(env),
    cache: resolve(cache),
    token: isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN) ? undefined : await tokenIn(env, home),
    offline: offlineIn(env),
    lookUpMs: secondsIn(env, "HF_HUB_ETAG_TIMEOUT") * 1000,
    stallMs: secondsIn(env, "HF_HUB_DOWNLOAD_TIMEOUT") * 1000,
    retryDelaysMs: RETRY_DELAYS_MS,
    symlinks: !isTrue(env.HF_HUB_DISABLE_SYMLINKS),
    progressBars: showsProgress(env),
  };
}

/** Says whether a terminal may show how far a transfer is. */
export function showsProgress(env: Environment = process.env): boolean {
  return !isTrue(env.HF_HUB_DISABLE_PROGRESS_BARS);
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}

function offlineIn(env: Environment): string | undefined {
  const name = env.HF_HUB_OFFLINE ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE";
  return isTrue(env[name]) ? name : undefined;
}

/** Reads a variable's path, with `~` and `$NAME` replaced by what they stand for. */
function pathIn(env: Environment, name: string): string | undefined {
  const value = env[name];
  if (!value) return undefined;
  return value
    .replace(/^~(?=\/|$)/, homedir())
    .replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (text, bare, braced) => env[bare ?? braced] ?? text);
}

function secondsIn(env: Environment, name: string): number {
  const value = env[name];
  if (!value) return DEFAULT_SECONDS;
  if (/^\d{1,6}$/.test(value) && Number(value) > 0) return Number(value);
  throw new NeuronBlipError("INVALID_INPUT", `${name} is a whole number of seconds, from 1, not ${shown(value)}.`);
}

function endpointIn(env: Environment): string {
  const value = (env.HF_ENDPOINT || DEFAULT_ENDPOINT).replace(/\/+$/, "");
  const protocol = URL.canParse(value) ? new URL(value).protocol : "";
  if (protocol === "https:" || protocol === "http:") return value;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `HF_ENDPOINT is the address of a Hugging Face Hub, such as ${DEFAULT_ENDPOINT}, not ${shown(value)}.`,
  );
}

async function tokenIn(env: Environment, home: string): Promise<HubSettings["token"]> {
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const value = env[name]?.trim();
    if (value) return checkedToken(value, name);
  }
  const path = pathIn(env, "HF_TOKEN_PATH") ?? join(home, "token");
  try {
    const value = (await readFile(path, "utf8")).trim();
    return value === "" ? undefined : checkedToken(value, `the file "${oneLine(path)}"`);
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `The Hugging Face token in "${oneLine(path)}" cannot be read: ${oneLine(messageOf(error), 200)}. ` +
        "Mend the file, give HF_TOKEN, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to send none.",
      { cause: error },
    );
  }
}

function checkedToken(value: string, from: string): HubSettings["token"] {
  if (value.length <= LARGEST_TOKEN_FILE && /^[\x21-\x7e]+$/.test(value)) return { value, from };
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `What is in ${from} is no Hugging Face token: a token is one word, such as hf_…, of letters and digits.`,
  );
}
