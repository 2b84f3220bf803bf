import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Files, HubStandIn } from "../stand-ins/hub.ts";

/** The Hub's variables, which are this host's own outside of a test. */
const VARIABLES = /^(HF_|HUGGING|TRANSFORMERS_OFFLINE|XDG_CACHE_HOME|NODE_USE_ENV_PROXY|HTTPS?_PROXY|https?_proxy)/;

/** Sets environment variables of the Hub's, and no others. @returns what puts back those that were there. */
export function setHubEnvironment(variables: Readonly<Record<string, string>>): () => void {
  const before = Object.entries(process.env).filter(([name]) => VARIABLES.test(name));
  const clear = () => {
    for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
  };
  clear();
  Object.assign(process.env, variables);
  return () => {
    clear();
    Object.assign(process.env, Object.fromEntries(before));
  };
}

/** A stand-in for the Hub and an empty cache, which the environment names. */
export class HubTest implements AsyncDisposable {
  readonly hub: HubStandIn;
  /** HF_HOME */
  readonly home: string;
  readonly #restore: () => void;

  private constructor(hub: HubStandIn, variables: Readonly<Record<string, string>>) {
    this.hub = hub;
    this.home = mkdtempSync(join(tmpdir(), "neuron-blip-hub-"));
    this.#restore = setHubEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: this.home, ...variables });
  }

  static async start(variables: Readonly<Record<string, string>> = {}): Promise<HubTest> {
    return new HubTest(await HubStandIn.start(), variables);
  }

  /** A folder of a model in the cache. */
  folder(model: string, ...names: string[]): string {
    return join(this.home, "hub", `models--${model.replace("/", "--")}`, ...names);
  }

  /** The names in one; none where there is no such folder. */
  names(model: string, ...folders: string[]): string[] {
    try {
      return readdirSync(this.folder(model, ...folders)).sort();
    } catch {
      return [];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#restore();
    await this.hub[Symbol.asyncDispose]();
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** As published BLIPs have them, with weights of so many bytes. */
export function blipFiles(bytes = 300_000, seed = 1): Files {
  return {
    "README.md": "# a model",
    "config.json": JSON.stringify({ model_type: "blip", architectures: ["BlipForQuestionAnswering"], seed }),
    "preprocessor_config.json": "{}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "special_tokens_map.json": "{}",
    "vocab.txt": "[PAD]\n",
    "model.safetensors": weights(bytes, seed),
    "pytorch_model.bin": "a program",
    "tf_model.h5": "nobody needs it",
  };
}

/** Bytes that do not repeat. */
export function weights(bytes: number, seed = 1): Buffer {
  const content = Buffer.alloc(bytes);
  let state = seed;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    content[at] = state >>> 24;
  }
  return content;
}
