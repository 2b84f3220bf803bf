import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packageVersion } from "../binary/torch-directory.js";

/** AWS's libraries are proprietary and never bundled: they are found on the host. */
export interface FoundLibrary {
  /** undefined where it is nowhere. */
  readonly path: string | undefined;
  /** Every place that was looked at, in order. */
  readonly places: readonly string[];
}

export interface FindOptions {
  /** The library itself, or the directory that holds it: nothing else is looked at. */
  readonly path?: string | undefined;
  /** The directory below which /opt is looked at, for tests. Default "/". */
  readonly hostRoot?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Finds libtorchneuron.so, which lets libtorch run artifacts of AWS Neuron: the given path, NEURON_BLIP_LIBTORCHNEURON, the active
 * Python's torch_neuronx, then AWS's environments, /opt/aws_neuronx_venv_pytorch*, the newest first.
 */
export function findLibtorchneuron({ path, hostRoot = "/", env = process.env }: FindOptions = {}): FoundLibrary {
  const name = "libtorchneuron.so";
  const given = path ?? env.NEURON_BLIP_LIBTORCHNEURON;
  if (given) return firstOf([given.endsWith(".so") ? given : join(given, name)]);
  const packages = [...activePackages(env), ...neuronSitePackages(join(hostRoot, "opt"))];
  return firstOf(packages.map((directory) => join(directory, "torch_neuronx", "lib", name)));
}

/** Finds libnrt.so.1, the Neuron runtime: the given path, NEURON_BLIP_LIBNRT, then /opt/aws/neuron/lib. */
export function findLibnrt({ path, hostRoot = "/", env = process.env }: FindOptions = {}): FoundLibrary {
  const name = "libnrt.so.1";
  const given = path ?? env.NEURON_BLIP_LIBNRT;
  if (given) return firstOf([given.includes(".so") ? given : join(given, name)]);
  return firstOf([join(hostRoot, "opt", "aws", "neuron", "lib", name)]);
}

/** Reads the version of torch that a libtorchneuron.so was made for: that of the Python environment it is in. */
export function torchVersionBeside(libtorchneuron: string): string | undefined {
  return packageVersion(join(dirname(dirname(dirname(realpathSync(libtorchneuron)))), "torch"));
}

/** Reads the version of the torch_neuronx that a libtorchneuron.so is in, as pip recorded it; undefined where it did not. */
export function torchNeuronxVersionBeside(libtorchneuron: string): string | undefined {
  const sitePackages = dirname(dirname(dirname(realpathSync(libtorchneuron))));
  const records = list(sitePackages).map((name) => /^torch_neuronx-(.+)\.dist-info$/.exec(name)?.[1]);
  return records.find((version) => version !== undefined);
}

function firstOf(places: readonly string[]): FoundLibrary {
  return { path: places.find((place) => existsSync(place)), places };
}

/** Finds site-packages of the active Python, where it has torch_neuronx. */
function activePackages(env: Readonly<Record<string, string | undefined>>): string[] {
  const python = env.VIRTUAL_ENV ? join(env.VIRTUAL_ENV, "bin", "python") : "python3";
  const script =
    "import importlib.util as u; s = u.find_spec('torch_neuronx'); print(s.submodule_search_locations[0] if s else '')";
  try {
    // Not in the working directory, which Python would search too.
    const found = execFileSync(python, ["-c", script], {
      cwd: tmpdir(),
      env: { ...env } as NodeJS.ProcessEnv,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 30_000,
    }).trim();
    return found ? [dirname(found)] : [];
  } catch {
    return []; // no Python
  }
}

/** Finds site-packages of AWS's environments in /opt: the newest torch first, the plain ones before those for one product. */
export function neuronSitePackages(opt: string): string[] {
  const environments = list(opt).flatMap((name) => {
    const version = /^aws_neuronx_venv_pytorch(?:_(\d+)_(\d+))?/.exec(name);
    return version ? [{ name, order: Number(version[1] ?? 0) * 1000 + Number(version[2] ?? 0) }] : [];
  });
  environments.sort((one, other) => other.order - one.order || one.name.length - other.name.length);
  return environments.flatMap(({ name }) => {
    const lib = join(opt, name, "lib");
    return list(lib)
      .filter((python) => python.startsWith("python3"))
      .map((python) => join(lib, python, "site-packages"));
  });
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
