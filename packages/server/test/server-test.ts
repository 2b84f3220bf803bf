import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NeuronBlip, type NeuronBlipOptions } from "neuron-blip";
import { demo, demoModel, demoQuestions } from "../../../test/helpers.js";
import { createServer, type ServerOptions } from "../dist/index.js";

/** A question of the demo's, with its picture's bytes. */
export const [asked, other] = demoQuestions.map(({ picture, question, answer }) => ({
  picture: readFileSync(join(demo, picture)),
  question,
  answer,
})) as [Asked, Asked];

export interface Asked {
  readonly picture: Buffer;
  readonly question: string;
  readonly answer: string;
}

/** As the command line loads a model: clients' strings are never read. */
export function loadModel(options: NeuronBlipOptions = {}, model = demoModel): Promise<NeuronBlip> {
  return NeuronBlip.fromPretrained(model, { files: false, fetch: false, maxPixels: 20_000_000, ...options });
}

/** A server of a model, which answers `inject` and is silent. */
export async function serverOf(blip: NeuronBlip, options: ServerOptions = {}) {
  return createServer(blip, { logLevel: "silent", ...options });
}

/** A multipart form's body and its header. */
export async function formOf(fields: readonly (readonly [string, string | Buffer])[]) {
  const form = new FormData();
  for (const [name, value] of fields) {
    if (typeof value === "string") form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value)], { type: "image/png" }), "picture.png");
  }
  const encoded = new Response(form);
  return {
    payload: Buffer.from(await encoded.arrayBuffer()),
    headers: { "content-type": encoded.headers.get("content-type") ?? "" },
  };
}

/** The events of a stream. */
export function eventsOf(body: string): { event: string | undefined; data: unknown }[] {
  return body
    .split("\n\n")
    .filter((text) => text !== "")
    .map((text) => {
      const [, event] = /^event: (.*)$/m.exec(text) ?? [];
      const [, data = ""] = /^data: (.*)$/m.exec(text) ?? [];
      return { event, data: data.startsWith("{") ? JSON.parse(data) : data };
    });
}
