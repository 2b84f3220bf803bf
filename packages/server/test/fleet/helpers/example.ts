/** A worker of examples/ as a process of its own. */
import { join } from "node:path";
import { Child } from "../../service/helpers/child.js";
import { demoModel, root } from "../../service/helpers/server-process.js";

export interface ExampleOptions {
  /** What follows the model's directory. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Modules of this directory that are loaded before it. */
  readonly preloads?: readonly string[];
}

export function startExample(name: string, { args, env, preloads = [] }: ExampleOptions): Child {
  const imports = preloads.flatMap((preload) => ["--import", new URL(preload, import.meta.url).href]);
  return new Child(process.execPath, [...imports, join(root, "examples", name), demoModel, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
}
