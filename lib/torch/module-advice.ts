import { adviceForWeights } from "../util/advice.js";

/** What a file that was given as a TorchScript module may be instead. */
export type ForeignKind =
  | "empty"
  | "lfs-pointer"
  | "web-page"
  | "state-dict"
  | "pickled-module"
  | "exported-program"
  | "torch-package"
  | "safetensors"
  | "onnx"
  | "gguf"
  | "hdf5"
  | "compressed"
  | "cut-archive"
  | "other-archive"
  | "unknown";

const TRACE =
  "Make a TorchScript file in Python: build the model, load the weights, then torch.jit.trace (or torch.jit.script) and " +
  `torch.jit.save. Of a BLIP model: ${adviceForWeights("MODEL", "DIR")}`;
const AGAIN = "Write it again (`npx neuron-blip compile` or torch.jit.save), or copy or download it again.";

/** What it is, after the file's name; and what to do. */
const ADVICE: Readonly<Record<ForeignKind, readonly [what: string, advice: string]>> = {
  empty: ["is empty, so that it is no TorchScript module", `Was the disk full when it was written? ${AGAIN}`],
  "lfs-pointer": [
    "is a pointer of Git LFS, not the file itself",
    "Fetch the file: `git lfs install`, then `git lfs pull` in the repository that it is from.",
  ],
  "web-page": [
    "is a web page, not a TorchScript module",
    "It was saved from an address that shows the file: download the file itself.",
  ],
  "state-dict": ["holds weights alone (a state_dict, by torch.save), without the program that uses them", TRACE],
  "pickled-module": [
    "holds Python objects (a whole model, by torch.save), which only Python with the model's own classes can read",
    `${TRACE} torch.load(…, weights_only=False) reads it there.`,
  ],
  "exported-program": [
    "is an exported program (torch.export.save), not TorchScript",
    "Make TorchScript of the same model: torch.jit.trace instead of torch.export, and torch.jit.save.",
  ],
  "torch-package": [
    "is a torch.package archive, not a TorchScript module",
    `Load it in Python (torch.package.PackageImporter). ${TRACE}`,
  ],
  safetensors: ["is a safetensors file: weights alone, without the program that uses them", TRACE],
  onnx: ["is an ONNX model, not TorchScript", `ONNX Runtime (onnxruntime-node) runs those. For this package: ${TRACE}`],
  gguf: ["is a GGUF file, of llama.cpp: weights alone", TRACE],
  hdf5: ["is an HDF5 file, as Keras writes them, not TorchScript", TRACE],
  compressed: ["is compressed", "Unpack it first (gunzip, unzstd, xz -d or tar -xf)."],
  "cut-archive": ["is cut short: its beginning is an archive's, and the end of that is missing", AGAIN],
  "other-archive": [
    "is a ZIP archive, but none that torch.jit.save wrote",
    `Unpack it if the module is within. ${TRACE}`,
  ],
  unknown: ["could not be loaded as a TorchScript module: it is none", `Is it the right file? ${AGAIN}`],
};

/**
 * Says what a file is instead of a TorchScript module, and what to do.
 * @returns sentences that go on after the file's name.
 */
export function foreignKindInWords(kind: ForeignKind): string {
  const [what, advice] = ADVICE[kind];
  return `${what}. ${advice}`;
}

/** Says whether the file itself is damaged or no file that anything could load, instead of a whole one of another kind. */
export function isDamaged(kind: ForeignKind): boolean {
  return ["empty", "lfs-pointer", "web-page", "cut-archive", "unknown"].includes(kind);
}
