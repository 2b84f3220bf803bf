/**
 * Run by itself, in a child process, because what it does can crash: `node native-child.js addon | runtime LIBNRT |
 * library LIBRARY… | inspect FILE…`. It prints one line with its answer as JSON, after whatever libraries print.
 */
import { realpathSync } from "node:fs";
import { messageOf, NeuronBlipError } from "../../errors.js";
import { native } from "../../torch/native.js";
import { itemAt } from "../../util/item-at.js";
import { ANSWER_MARK } from "./native-answer.js";

/** What the other tasks ask the addon for. */
const NEEDED = ["cxx11Abi", "describeNrt", "loadLibrary", "inspectModule", "createExecutor", "closeExecutor"] as const;

const TASKS: Readonly<Record<string, (paths: string[]) => unknown>> = {
  addon: () => {
    const { libtorchVersion, cxx11Abi } = native();
    const lacks = NEEDED.filter((name) => native()[name] === undefined);
    if (lacks.length > 0) {
      throw new NeuronBlipError(
        "ADDON_NOT_BUILT",
        `The native addon was built from another version of neuron-blip (it lacks ${lacks.join(", ")}).`,
      );
    }
    return { libtorchVersion, cxx11Abi, libraries: loadedLibraries() };
  },
  runtime: (paths) => native().describeNrt(itemAt(paths, 0)),
  library: (paths) => {
    for (const path of paths) native().loadLibrary(path);
    return null;
  },
  inspect: async (paths) => {
    const executor = native().createExecutor(1);
    const usesNeuron: boolean[] = [];
    for (const path of paths) usesNeuron.push(await native().inspectModule(executor, path));
    await native().closeExecutor(executor);
    return usesNeuron;
  },
};

/** Lists the libraries that decide how fast libtorch is: its own, its linear algebra's and its threads', by their real paths. */
function loadedLibraries(): string[] {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
  const real = (path: string) => {
    try {
      return realpathSync(path);
    } catch {
      return path; // not a file, as some of macOS's are
    }
  };
  return [...new Set(sharedObjects.filter((path) => /torch|c10|blas|lapack|mkl|blis|omp/i.test(path)).map(real))];
}

const [task = "", ...paths] = process.argv.slice(2);
try {
  const value = await TASKS[task]?.(paths);
  console.log(ANSWER_MARK + JSON.stringify({ value }));
} catch (error) {
  const code = error instanceof NeuronBlipError ? error.code : undefined;
  console.log(ANSWER_MARK + JSON.stringify({ failure: { code, reason: messageOf(error) } }));
}
