import { NeuronBlipError, type NeuronBlipErrorCode } from "../../errors.js";
import { actionFor, describeStatus, type NrtAction } from "./nrt-status.js";

/** What libtorchneuron said: in which phase, its own words in one line, and the status of the runtime where it gives one. */
interface NeuronWords {
  readonly phase: "execute" | "load" | "initialize" | "weights" | "fork";
  readonly words: string;
  readonly status?: number;
}

/**
 * libtorchneuron's exceptions, by its own words. They come inside of TorchScript's ("The following operation failed in the
 * TorchScript interpreter…"), and may go over several lines.
 */
const WORDS: readonly (readonly [phase: NeuronWords["phase"], pattern: RegExp])[] = [
  ["execute", /Failed to execute the model\s+status=(\d+)(?:\s+message=[^\n]*)?/],
  ["load", /Could not load the model\s+status=(\d+)(?:\s+message=[^\n]*)?/],
  [
    "initialize",
    /The PyTorch Neuron Runtime could not be initialized(?:\. Neuron Driver issues are logged\s+to your system logs)?|Neuron runtime cannot be initialized/,
  ],
  ["weights", /[^\n]*allocated on vnc \S+ must be allocated on same vnc as model[^\n]*/],
  // Of the runtime's log.
  ["fork", /[^\n]*NRT_STATE_CHILD[^\n]*/],
];

function wordsIn(message: string): NeuronWords | undefined {
  for (const [phase, pattern] of WORDS) {
    const found = pattern.exec(message);
    if (!found) continue;
    const words = found[0].replaceAll(/\s+/g, " ").trim().slice(0, 200);
    return { phase, words, ...(found[1] !== undefined && { status: Number(found[1]) }) };
  }
  return undefined;
}

/** Says whether libtorch's words are libtorchneuron's about its runtime, rather than about wrong inputs. */
export function isNeuronFailure(message: string): boolean {
  return wordsIn(message) !== undefined;
}

/** Says whether an error means that the runtime was busy for a moment: the same call may succeed a little later. */
export function isBusy(message: string): boolean {
  const found = wordsIn(message);
  if (found?.status === undefined || (found.phase !== "execute" && found.phase !== "load")) return false;
  return actionFor(found.status, found.phase) === "retry";
}

const CODES: Readonly<Record<NrtAction, NeuronBlipErrorCode>> = {
  callFails: "NEURON_EXECUTION",
  retry: "NEURON_EXECUTION",
  reload: "NEURON_EXECUTION",
  reloadOnce: "NEURON_EXECUTION",
  coreOut: "NEURON_EXECUTION",
  processEnd: "NEURON_RESTART_REQUIRED",
  mismatch: "NEURON_RUNTIME_MISMATCH",
  deviceMemory: "OUT_OF_MEMORY",
  hostMemory: "OUT_OF_MEMORY",
  noCores: "NEURON_CORES_UNAVAILABLE",
};

const CORES_TAKEN =
  "Another process may hold the NeuronCores (they are one process's until it ends), or the driver is not loaded. " +
  "`npx neuron-blip doctor` shows which; choose other cores with the option cores.";

const CURES: Readonly<Record<NrtAction, string>> = {
  callFails: "Give it inputs of the shapes and dtypes that it was compiled for.",
  retry: "It was tried again several times. Load fewer models on the core, or lower callsInFlight.",
  reload: "The system's log has the driver's words.",
  reloadOnce: "Where it comes again, the core is failing. The system's log has the driver's words.",
  coreOut: "The core or its memory is failing: start another process, which resets the cores, or another instance.",
  processEnd: "The Neuron runtime cannot be used in this process any more: start another process.",
  mismatch:
    "It was compiled for another device family, core configuration or SDK than this host's: compile it again for it.",
  deviceMemory:
    "The NeuronCore's memory is used up (16 GB on Inferentia2): load fewer models on it, or compile smaller batch sizes.",
  hostMemory: "The host's memory is used up: load fewer replicas, or use a larger instance.",
  noCores: CORES_TAKEN,
};

/** Where a status needs more, or other, words than its action. */
const CURES_OF_STATUS: Readonly<Record<number, string>> = {
  5: "The core hangs, or its work takes longer than NEURON_RT_EXEC_TIMEOUT (seconds, 30 by default) allows.",
  10:
    "The part was compiled by a newer compiler than this host's runtime knows (the runtime's log names the NEFF version and the features). Update " +
    "aws-neuronx-runtime-lib, or compile again with this host's SDK.",
  1003:
    "Compile again with `npx neuron-blip compile`, whose attention masks are small enough for casts, or without casts: " +
    '--compiler-args="--auto-cast=none".',
  1006: "The part read or wrote outside of its memory: where it comes again, compile it again.",
  13: "A process that was forked after it had used Neuron gets this too (NRT_STATE_CHILD in the runtime's log): start processes with spawn or exec.",
};

/** Explains what failed on a NeuronCore, or while a part was loaded onto one, with its cure. Returns other errors as they are. */
export function neuronError(path: string, error: NeuronBlipError): NeuronBlipError {
  if (error.code !== "EXECUTION_FAILED" && error.code !== "ARTIFACT_CORRUPT") return error;
  const { message } = error;
  const make = (code: NeuronBlipErrorCode, text: string, status?: number) =>
    new NeuronBlipError(code, `"${path.slice(-200)}": ${text}`, { cause: error, status });
  const found = wordsIn(message);
  if (found === undefined) {
    const unknown = /Unknown (?:type name|builtin op)[^\n]*/.exec(message)?.[0].replace(/:$/, "").slice(0, 200);
    if (unknown === undefined || !unknown.includes("neuron")) return error;
    return make(
      "NEURON_RUNTIME_MISMATCH",
      `${unknown}. The libtorchneuron.so that was loaded does not know what the part was compiled to: it must be torch-neuronx's, of the ` +
        "version that compiled the part or a newer one. `npx neuron-blip doctor` shows which it is.",
    );
  }
  const { phase, words, status } = found;
  if (phase === "initialize") return make("NEURON_CORES_UNAVAILABLE", `${words}. ${CORES_TAKEN}`);
  if (phase === "weights") {
    return make(
      "NEURON_EXECUTION",
      `${words}. Its weights are beside the compiled graph (inline_weights_to_neff=False), and neuron-blip does not move them to a ` +
        "core: trace it with its weights in the graph, the default.",
    );
  }
  if (phase === "fork" || status === undefined) {
    return make(
      "NEURON_RESTART_REQUIRED",
      `${words}. This process was forked from one that had used Neuron. Start processes with spawn or exec instead.`,
    );
  }
  const action = actionFor(status, phase);
  const cure = CURES_OF_STATUS[status] ?? CURES[action];
  const also = CURES_OF_STATUS[status] !== undefined && action === "processEnd" ? `${CURES.processEnd} ` : "";
  return make(CODES[action], `${words} (${describeStatus(status)}). ${also}${cure}`, status);
}

/** What becomes of the replica that an error came from; nothing where it stays in use. */
export type ReplicaFailure = "reload" | "reloadOnce" | "coreOut" | "processEnd";

/** Tells what an error says of the NeuronCore that it came from: undefined where it is the call's own. */
export function replicaFailureOf(error: unknown): ReplicaFailure | undefined {
  if (!(error instanceof NeuronBlipError)) return undefined;
  if (error.code === "NEURON_RESTART_REQUIRED") return "processEnd";
  if (error.code !== "NEURON_EXECUTION" || error.status === undefined) return undefined;
  // A load that failed with the same status, as one that waits for the first call does, is the same fault.
  const action = actionFor(error.status, "execute");
  return action === "reload" || action === "reloadOnce" || action === "coreOut" ? action : undefined;
}
