// How each package manager installs a package by its name, with scripts off, and how a program is then run.
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeName } from "./tools.ts";

/** One way to install: a package manager, and the Nodes that it supports, the one that CI uses first. */
export interface PackageManager {
  readonly name: string;
  readonly nodes: readonly NodeName[];
  /** Files of the project that tell it what it has to know. */
  readonly files: (registry: string) => Readonly<Record<string, string>>;
  /** The program and its arguments that add neuron-blip. */
  readonly add: (tools: string, node: string) => string[];
  /** The program and its first arguments that run a JavaScript file, where that is not Node alone. */
  readonly run?: (tools: string, node: string) => string[];
}

const ALL: readonly NodeName[] = ["node-20", "node-22", "node-24", "node-26"];
const startingWith = (first: NodeName, nodes = ALL) => [first, ...nodes.filter((node) => node !== first)];
const npmrc = (registry: string) => ({ ".npmrc": `registry=${registry}\n` });

function npm(version: "10" | "12", nodes: readonly NodeName[]): PackageManager {
  return {
    name: `npm ${version}`,
    nodes,
    files: npmrc,
    add: (tools, node) => [
      ...[node, join(tools, `npm-${version}/bin/npm-cli.js`), "install", "--ignore-scripts", "--no-audit", "--no-fund"],
      "neuron-blip",
    ],
  };
}

function pnpm(version: "9" | "12", nodes: readonly NodeName[]): PackageManager {
  return {
    name: `pnpm ${version}`,
    nodes,
    // What was published a minute ago may be installed.
    files: (registry) => ({ ...npmrc(registry), "pnpm-workspace.yaml": "packages: []\nminimumReleaseAge: 0\n" }),
    add: (tools, node) => [
      ...(version === "12" ? [join(tools, "pnpm-12/pnpm")] : [node, join(tools, "pnpm-9/bin/pnpm.cjs")]),
      ...["add", "--ignore-scripts", "--ignore-workspace-root-check", "neuron-blip"],
    ],
  };
}

function yarn(linker: "node-modules" | "pnp", nodes: readonly NodeName[]): PackageManager {
  const program = (tools: string, node: string) => [node, join(tools, "yarn-4/bin/yarn.js")];
  return {
    name: `yarn 4, ${linker === "pnp" ? "Plug'n'Play" : "node_modules"}`,
    nodes,
    files: (registry) => ({
      "yarn.lock": "",
      ".yarnrc.yml": [
        `nodeLinker: ${linker}`,
        `npmRegistryServer: "${registry}"`,
        'unsafeHttpWhitelist: ["127.0.0.1"]',
        ...["enableScripts: false", "enableTelemetry: false", "npmMinimalAgeGate: 0", ""],
      ].join("\n"),
    }),
    add: (tools, node) => [...program(tools, node), "add", "neuron-blip"],
    ...(linker === "pnp" && { run: (tools: string, node: string) => [...program(tools, node), "node"] }),
  };
}

const bun: PackageManager = {
  name: "bun",
  nodes: startingWith("node-22"),
  files: (registry) => ({ "bunfig.toml": `[install]\nregistry = "${registry}"\n` }),
  add: (tools) => [join(tools, "bun/bin/bun"), "add", "--ignore-scripts", "neuron-blip"],
};

export const PACKAGE_MANAGERS: readonly PackageManager[] = [
  npm("10", ["node-20", "node-22"]),
  npm("12", ["node-26", "node-24", "node-22"]),
  pnpm("9", ["node-20", "node-22", "node-24"]),
  pnpm("12", startingWith("node-24")),
  yarn("node-modules", startingWith("node-22")),
  yarn("pnp", startingWith("node-24")),
  bun,
];

/** An empty project in a directory of its own, and the environment of a user who has Node and nothing else. */
export function makeProject(
  directory: string,
  manager: PackageManager,
  node: string,
  registry: string,
): { project: string; env: Record<string, string> } {
  const project = join(directory, "project");
  for (const name of ["project", "bin", "home", "tmp"]) mkdirSync(join(directory, name), { recursive: true });
  chmodSync(directory, 0o755);
  symlinkSync(node, join(directory, "bin", "node"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "newcomer", version: "1.0.0", private: true }));
  for (const [name, text] of Object.entries(manager.files(registry))) writeFileSync(join(project, name), text);
  const home = join(directory, "home");
  return { project, env: { PATH: join(directory, "bin"), HOME: home, TMPDIR: join(directory, "tmp") } };
}
