import { dirname, join } from "node:path";
import { minorOf } from "../../../torch/binary/torch-directory.js";
import type { Probe } from "../examination.js";
import { ok, problem, skipped } from "../finding.js";

/** The libtorch that the addon was built with, and whether it still is the one that is there. */
export const libtorch: Probe = {
  id: "libtorch",
  async run(examination) {
    const { answer, builtWith, decision } = await examination.addon();
    const text = (name: string) => (typeof builtWith?.[name] === "string" ? (builtWith[name] as string) : undefined);
    const loadedFirst = decision.chosen?.libtorch; // for an addon of the platform package, which has no place of its own
    const directory = loadedFirst?.libDir ?? text("libDir");
    if (answer?.ok !== true) {
      const label = text("label");
      const from = label === undefined ? "" : ` It was built with ${label}.`;
      return skipped("libtorch", `Not looked at: the addon does not load.${from}`, { directory });
    }
    const { libtorchVersion: version, cxx11Abi, libraries } = answer.value;
    const library = libraries.find((path) => /libtorch_cpu\./.test(path));
    const isCuda = loadedFirst
      ? await examination.host.exists(join(loadedFirst.libDir, "libtorch_cuda.so"))
      : builtWith && builtWith.cuda === true;
    const details = {
      version,
      builtWith: loadedFirst?.version ?? text("version"),
      origin: text("origin"),
      directory: library === undefined ? directory : dirname(library),
      cxx11Abi,
      cuda: isCuda,
    };
    // A torch package that was replaced in place still loads, or does not, as its ABI happens to be.
    const versionFile = directory && (await examination.host.read(join(dirname(directory), "version.py")));
    const there = /^__version__(?:\s*:\s*\w+)?\s*=\s*['"]([^'"]+)/m.exec(versionFile ?? "")?.[1];
    if (there !== undefined && minorOf(there) !== minorOf(version)) {
      return problem(
        "libtorch",
        `The addon was built with libtorch ${version}, and ${directory} now holds ${there}.`,
        "Run `npx neuron-blip build --force`.",
        { ...details, there },
      );
    }
    const build = isCuda ? "a CUDA build, used on the CPU" : "a CPU build";
    return ok(
      "libtorch",
      `libtorch ${details.builtWith ?? version}, ${isCuda === undefined ? "of an unknown build" : build}, C++ ABI ${cxx11Abi} (${details.directory ?? "no one knows where"}).`,
      details,
    );
  },
};
