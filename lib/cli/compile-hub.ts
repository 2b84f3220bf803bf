/** Gives the compiler, which is Python, the models of the Hugging Face Hub that it asks for. */

import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { messageOf } from "../errors.js";
import { downloadModel } from "../hub/download-model.js";
import { isHubName } from "../util/hub-name.js";
import { isObject } from "../util/json-file.js";
import { isLocal, lineOfProgress } from "./hub-arguments.js";

/**
 * Answers what scripts/compile/trace.py asks, a line of JSON for each: `{model, revision, weights}` with `{directory}` or `{error}`. It asks when
 * its arguments are read and its packages are there, so that nothing is fetched for a command that cannot be run.
 * @param channel to the compiler; what is being fetched when it is closed is ended.
 */
export async function serveModels(channel: Duplex): Promise<void> {
  const closed = new AbortController();
  const { signal } = closed;
  const end = () => closed.abort();
  channel.on("error", end).on("close", end);
  for await (const line of createInterface({ input: channel })) {
    const answer = await answerTo(line, signal).catch((error) => ({ error: messageOf(error) }));
    if (channel.writable) channel.write(`${JSON.stringify(answer)}\n`);
  }
}

async function answerTo(line: string, signal: AbortSignal): Promise<{ directory: string }> {
  const asked: unknown = JSON.parse(line);
  const { model, revision, weights } = isObject(asked) ? asked : {};
  if (typeof model !== "string") throw new Error("The compiler asked for no model.");
  // What is a path, or no name of the Hub, the compiler says something of.
  const isPath = !isHubName(model) || (await isLocal(model));
  if (isPath) return { directory: model };
  const directory = await downloadModel(model, {
    ...(typeof revision === "string" && { revision }),
    ...lineOfProgress(),
    purpose: weights === false ? "processor" : "model",
    signal,
  });
  return { directory };
}
