/** Probes of the addon and of the libtorch that it brings. */
import { dirname, join } from "node:path";
import { minorOf, packageVersion } from "../../../torch/binary/torch-directory.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";

export async function addon(examination: Examination): Promise<Finding> {
  const { decision, answer } = await examination.addon();
  const { chosen, error, passedOver } = decision;
  if (chosen === undefined)
    return about("addon", { passedOver }).error(error?.message ?? "", "Run `npx neuron-blip build`.");
  const { addon: path, why } = chosen;
  if (answer === undefined) {
    const what = `The native addon is not built (no "${path}", and ${why}).`;
    return about("addon", { path, why }).problem(what, "Run `npx neuron-blip build`.");
  }
  if (answer.ok) {
    const what = [`The native addon loads ("${path}": ${why}).`, ...passedOver].join(" ");
    return about("addon", { path, why, passedOver }).ok(what);
  }
  const { how, reason } = answer;
  const { problem } = about("addon", { path, why, how, reason });
  if (how !== "failed") {
    return problem(
      `The native addon cannot be loaded: ${reason} ("${path}").`,
      "Run `npx neuron-blip build --force`. If it crashes again, set NEURON_BLIP_LIBTORCH to another libtorch and build again.",
    );
  }
  if (/version `?GLIBC(XX)?_/.test(reason)) {
    return problem(
      `The native addon was built on a newer system than this one: ${reason}`,
      "Build it on this system, or on one with the same glibc: `npx neuron-blip build --force`.",
    );
  }
  const lacking = /(lib[\w.+-]+): cannot open shared object/.exec(reason)?.[1];
  const cure =
    answer.code === "LIBTORCH_NOT_FOUND"
      ? "Run `npx neuron-blip build`: it builds with the libtorch that this host has."
      : lacking !== undefined
        ? `Install what brings ${lacking}, or build with another libtorch: \`npx neuron-blip build --force\`.`
        : "Run `npx neuron-blip build --force`.";
  // The addon's own messages end with the command that is given as the cure.
  return problem(reason.replace(/ Run `npx neuron-blip build[^`]*`.*$/s, ""), cure);
}

/** Checks whether the libtorch that the addon was built with still is the one that is there. */
export async function libtorch(examination: Examination): Promise<Finding> {
  const { loaded, builtWith, decision } = await examination.addon();
  const loadedFirst = decision.chosen?.libtorch; // for an addon of the platform package, which has no place of its own
  const directory = loadedFirst?.libDir ?? builtWith?.libDir;
  if (!loaded) {
    const from = builtWith?.label === undefined ? "" : ` It was built with ${builtWith.label}.`;
    return about("libtorch", { directory }).skipped(`Not looked at: the addon does not load.${from}`);
  }
  const { libtorchVersion: version, cxx11Abi, libraries } = loaded;
  const library = libraries.find((path) => /libtorch_cpu\./.test(path));
  const isCuda = loadedFirst
    ? await examination.host.exists(join(loadedFirst.libDir, "libtorch_cuda.so"))
    : builtWith && (builtWith.cuda ?? false);
  const details = {
    version,
    builtWith: loadedFirst?.version ?? builtWith?.version,
    origin: builtWith?.origin,
    directory: library === undefined ? directory : dirname(library),
    cxx11Abi,
    cuda: isCuda,
  };
  // A torch package that was replaced in place still loads, or does not, as its ABI happens to be.
  const there = directory && packageVersion(dirname(directory));
  if (there !== undefined && minorOf(there) !== minorOf(version)) {
    const what = `The addon was built with libtorch ${version}, and ${directory} now holds ${there}.`;
    return about("libtorch", { ...details, there }).problem(what, "Run `npx neuron-blip build --force`.");
  }
  const build = isCuda === undefined ? "of an unknown build" : isCuda ? "a CUDA build, used on the CPU" : "a CPU build";
  const where = details.directory ?? "no one knows where";
  return about("libtorch", details).ok(
    `libtorch ${details.builtWith ?? version}, ${build}, C++ ABI ${cxx11Abi} (${where}).`,
  );
}

const FAST = /openblas|mkl|blis|atlas|flexiblas|nvpl|armpl|accelerate/i;

/** Finds which linear algebra library libtorch uses. */
export async function blas(examination: Examination): Promise<Finding> {
  const { loaded } = await examination.addon();
  if (!loaded) return about("blas").skipped("Not looked at: the addon does not load.");
  const libraries = loaded.libraries.filter((path) => /lib\w*(blas|mkl|blis|atlas|nvpl|armpl)\w*[-.]/i.test(path));
  const { ok, warning } = about("blas", { libraries });
  const fast = libraries.find((path) => FAST.test(path));
  if (fast !== undefined) return ok(`libtorch calculates with ${fast}.`);
  const slow = libraries.find((path) => /\/libblas\.so/.test(path));
  if (slow === undefined) return ok("libtorch calculates with what is built into it.");
  return warning(
    `libtorch calculates with the reference BLAS (${slow}), which is some 40 times slower than OpenBLAS.`,
    "Install OpenBLAS (Debian, Ubuntu: `apt-get install libopenblas0-pthread`), which takes its place at once.",
  );
}
