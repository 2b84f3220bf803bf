/** What the Hub's refusals, and the lack of its answer, mean for who asked: one sentence each, and what to do. */
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { oneLine, shown } from "../util/values.js";
import type { HubSettings } from "./hub-settings.js";

/** What was asked for, for the messages. */
export interface Asked {
  /** The model's name. */
  readonly model: string;
  readonly revision: string;
  /** A file of it, where one was asked for. */
  readonly file?: string;
}

/** Whom a question went to, and about which model. */
export interface Peer {
  readonly endpoint: string;
  readonly model: string;
}

/** Makes the error for an answer that is no success. */
export function refusal(
  response: Response,
  asked: Asked,
  { endpoint, token }: Pick<HubSettings, "endpoint" | "token">,
): NeuronBlipError {
  const { model, revision, file } = asked;
  const { status } = response;
  const code = response.headers.get("x-error-code");
  const said = oneLine(response.headers.get("x-error-message") ?? "", 200);
  const page = `${endpoint}/${model}`;
  if (code === "GatedRepo") {
    return new NeuronBlipError(
      "HUB_ACCESS_DENIED",
      token
        ? `${shown(model)} is a gated model, and the token of ${token.from} has no access to it. Ask for access at ${page}, with the ` +
            "account that the token is of."
        : `${shown(model)} is a gated model. Accept its conditions at ${page}, and give a token of that account as HF_TOKEN ` +
            "(tokens are made in the account's settings).",
    );
  }
  if (code === "RevisionNotFound") {
    return new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `The model ${shown(model)} has no branch, tag or commit ${shown(revision)}. ${page}/commits lists them.`,
    );
  }
  if (code === "EntryNotFound" || (status === 404 && file !== undefined)) {
    return new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `The model ${shown(model)} has no file ${shown(file ?? "")} at ${shown(revision)}, though it is in the list of its files. Try again later.`,
    );
  }
  if (status === 401 && /invalid (credentials|username)/i.test(said)) {
    return new NeuronBlipError(
      "HUB_ACCESS_DENIED",
      `${endpoint} does not know the token of ${token?.from ?? "no file"}: it may be cut, expired or revoked. Make another in the ` +
        "account's settings; for a public model, none is needed.",
    );
  }
  if (code === "RepoNotFound" || status === 404) {
    return new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `There is no directory ${shown(model)} here, and no model of that name at ${endpoint} that ` +
        (token
          ? `the token of ${token.from} may read. Check the spelling; a private model needs a token of its owner.`
          : "everybody may read. Check the spelling; for a private model give a token as HF_TOKEN."),
    );
  }
  if (status === 401 || status === 403) {
    return new NeuronBlipError(
      "HUB_ACCESS_DENIED",
      `${endpoint} does not let ${token ? `the token of ${token.from}` : "everybody"} read the model ${shown(model)} (status ${status}` +
        `${said && `: ${said}`}). ${token ? "Give one that may, as HF_TOKEN." : "If it is private, give a token as HF_TOKEN."}`,
    );
  }
  return unreached(
    { endpoint, model },
    `answered with status ${status}${said && ` (${said})`}`,
    status === 429 ? "Too many requests came from here: wait some minutes, or give a token as HF_TOKEN." : undefined,
  );
}

/** Makes the error for no answer at all, or one that is not a Hub's. @param why what happened, after the Hub's address. */
export function unreached(
  { endpoint, model }: Peer,
  why: string,
  cure = "Try again later.",
  cause?: unknown,
): NeuronBlipError {
  return new NeuronBlipError(
    "HUB_UNREACHABLE",
    `${shown(model)} is no directory here, and the Hugging Face Hub at ${endpoint} ${why}. ${cure}`,
    { cause },
  );
}

const REASONS: readonly (readonly [RegExp, string, string])[] = [
  [/ENOTFOUND|EAI_AGAIN/, "its name cannot be looked up", "Is this host connected?"],
  [/ECONNREFUSED/, "the connection is refused", "Is the address right, and does a firewall stand between?"],
  [/ENETUNREACH|EHOSTUNREACH|ENETDOWN/, "there is no network", "Is this host connected?"],
  [
    /ETIMEDOUT|CONNECT_TIMEOUT/,
    "the connection is not made in time",
    "Is this host connected, or does a firewall stand between?",
  ],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/,
    "its certificate is not trusted here",
    "Where a company's proxy reads along, NODE_EXTRA_CA_CERTS names the file with its certificate.",
  ],
];

/** Makes the error for what fetch has thrown. */
export function connectionError(peer: Peer, error: unknown): NeuronBlipError {
  // undici says "fetch failed", and why in the cause, which may hold one error for each address.
  const cause = typeof error === "object" && error !== null && "cause" in error ? error.cause : error;
  const code = codeOf(cause) ?? "";
  const [, reason, cure] = REASONS.find(([codes]) => codes.test(code)) ?? [
    /./,
    oneLine(messageOf(cause) || code || messageOf(error), 200),
    "Try again.",
  ];
  return unreached(peer, `cannot be reached: ${reason}${code && ` (${code})`}`, `${cure}${aboutProxies()}`, error);
}

/** Tells of a proxy's variable that is set: Node follows these only where it is told to. */
function aboutProxies({ env } = process): string {
  const name = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].find((name) => env[name]);
  if (name === undefined || env.NODE_USE_ENV_PROXY === "1") return "";
  return (
    ` ${name} is set, which Node follows with NODE_USE_ENV_PROXY=1 (from Node 22.21 and 24.5 on); Python's \`hf download\` fills the ` +
    "same cache."
  );
}

/** Makes the error for a model that may not be fetched and is not in the cache. */
export function offlineError({ model, revision }: Asked, { cache, offline }: HubSettings): NeuronBlipError {
  return new NeuronBlipError(
    "HUB_OFFLINE",
    `${shown(model)} is no directory here, the cache ${shown(cache)} does not have that model at ${shown(revision)}, and ${offline} forbids ` +
      "asking the Hugging Face Hub for it. " +
      `Unset ${offline} once, with a network, or copy the model's folder of another host's cache there.`,
  );
}

const DISK_FULL = /ENOSPC|EDQUOT/;

/**
 * Makes the error for what the system refuses in the cache.
 * @returns NeuronBlipError `DISK_FULL` or `CACHE_NOT_WRITABLE`; any error of this package as it is.
 */
export function cacheError(error: unknown, cache: string): NeuronBlipError {
  if (error instanceof NeuronBlipError) return error;
  const code = codeOf(error) ?? "";
  if (DISK_FULL.test(code)) return diskFull(cache, "and the disk, or a quota, ended before the model did", error);
  return new NeuronBlipError(
    "CACHE_NOT_WRITABLE",
    `The cache ${shown(cache)} cannot be written: ${oneLine(messageOf(error), 200)}. Mend its permissions, or name another folder in HF_HUB_CACHE.`,
    { cause: error },
  );
}

/** Makes the error for a disk without room for a model. @param why how that is known. */
export function diskFull(cache: string, why: string, cause?: unknown): NeuronBlipError {
  return new NeuronBlipError(
    "DISK_FULL",
    `The disk of the cache ${shown(cache)} is full: the model's files go there, ${why}. Make room, or name a folder on another disk ` +
      "in HF_HUB_CACHE.",
    { cause },
  );
}
