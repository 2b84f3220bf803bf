/** What the Hub says of a model: its commit, and its files. */
import { isObject, type JsonObject } from "../util/json-file.js";
import type { HubClient } from "./hub-client.js";
import { type Asked, unreached } from "./hub-errors.js";

/** A file of a model. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** The name of its content: the SHA-256 of a large file, git's name of a small one. */
  readonly etag: string;
  /** The SHA-256 of its bytes, where the Hub knows it: of large files. */
  readonly sha256: string | undefined;
}

/** A model as it is at one commit. */
export interface HubCommit {
  readonly commit: string;
  /** All its files' paths, where the Hub tells them. */
  readonly paths: readonly string[];
}

const COMMIT = /^[0-9a-f]{7,64}$/;
/** These become names of files in the cache. */
const ETAG = /^[A-Za-z0-9][\w-]{0,127}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Looks up the commit that a branch, tag or commit stands for now.
 * @throws NeuronBlipError as `HubClient.json`
 */
export async function lookUpCommit(hub: HubClient, asked: Asked, patient: boolean): Promise<HubCommit> {
  const path = `api/models/${asked.model}/revision/${encodeURIComponent(asked.revision)}`;
  const answer = await hub.json(path, { asked }, { patient });
  const { sha, siblings }: JsonObject = isObject(answer) ? answer : {};
  if (typeof sha !== "string" || !COMMIT.test(sha)) throw unlikeTheHub(hub, "names no commit of the model");
  const files = Array.isArray(siblings) ? siblings : [];
  return {
    commit: sha,
    paths: files.flatMap((file) => (isObject(file) && typeof file.rfilename === "string" ? [file.rfilename] : [])),
  };
}

/**
 * Looks up which of some files the model has.
 * @throws NeuronBlipError as `HubClient.json`
 */
export async function lookUpFiles(
  hub: HubClient,
  model: string,
  commit: string,
  paths: readonly string[],
): Promise<Map<string, HubFile>> {
  const asked = { model, revision: commit };
  const request = { method: "POST" as const, json: { paths, expand: false }, asked };
  const answer = await hub.json(`api/models/${model}/paths-info/${commit}`, request, { patient: true });
  if (!Array.isArray(answer)) throw unlikeTheHub(hub, "gives no list of the model's files");
  const files = answer.filter((entry) => isObject(entry) && entry.type === "file").map((entry) => fileOf(hub, entry));
  return new Map(files.filter(({ path }) => paths.includes(path)).map((file) => [file.path, file]));
}

function fileOf(hub: HubClient, { path, size, oid, lfs }: JsonObject): HubFile {
  const large = isObject(lfs) ? lfs : undefined;
  const etag = large?.oid ?? oid;
  const bytes = large?.size ?? size;
  if (
    typeof path !== "string" ||
    typeof etag !== "string" ||
    !ETAG.test(etag) ||
    typeof bytes !== "number" ||
    !Number.isSafeInteger(bytes)
  ) {
    throw unlikeTheHub(hub, "gives a list of files without their names and sizes");
  }
  return { path, size: bytes, etag, sha256: large && SHA256.test(etag) ? etag : undefined };
}

function unlikeTheHub(hub: HubClient, what: string): Error {
  return unreached(hub.peer, what, "Is HF_ENDPOINT right?");
}
