import { NeuronBlipError } from "../errors.js";
import { isFatalStatus, nrtStatusIn, nrtStatusName } from "./nrt-status.js";

/** Whether libtorch's words are about the Neuron runtime rather than about wrong inputs. */
export function isNeuronFailure(message: string): boolean {
  return /\bnrt_\w+|\bNRT_|neuron runtime|NeuronCore/i.test(message) && nrtStatusIn(message) !== undefined;
}

/** What went wrong on a NeuronCore, or while a part was loaded onto one, with its cure. */
export function neuronError(path: string, error: NeuronBlipError): NeuronBlipError {
  if (error.code !== "EXECUTION_FAILED" && error.code !== "ARTIFACT_CORRUPT") return error;
  const { message } = error;
  const status = nrtStatusIn(message);
  // Of a load, with advice for broken files before it.
  const reason = (message.trimEnd().split("\n").at(-1) ?? "").replace(/^.* libtorch says: /, "").replace(/:$/, ".");
  const make = (code: "NEURON_CORES_UNAVAILABLE" | "NEURON_EXECUTION" | "NEURON_RUNTIME_MISMATCH", cure: string) =>
    new NeuronBlipError(code, `"${path}": ${reason} ${cure}`, { cause: error, status });
  if (/NRT_STATE_CHILD/.test(message)) {
    return make(
      "NEURON_EXECUTION",
      "This process was forked from one that had used Neuron. Start processes with spawn or exec instead.",
    );
  }
  if (/could not be initialized|NOT_ENOUGH_NC/i.test(message) || status === 9 || status === 4) {
    return make(
      "NEURON_CORES_UNAVAILABLE",
      "Another process may hold the NeuronCores (they are one process's until it ends), or the driver is not loaded. " +
        "`npx neuron-blip doctor` shows which; choose other cores with the option cores.",
    );
  }
  if (status === 10) {
    return make(
      "NEURON_RUNTIME_MISMATCH",
      "The part was compiled by a newer compiler than this host's runtime knows. Update aws-neuronx-runtime-lib, or compile again.",
    );
  }
  if (/Unknown (type name|builtin op)/.test(message)) {
    return make(
      "NEURON_RUNTIME_MISMATCH",
      "The libtorchneuron.so that was loaded does not know what the part was compiled to: it must be torch-neuronx's, of the " +
        "version that compiled the part or a newer one. `npx neuron-blip doctor` shows which it is.",
    );
  }
  if (status === undefined) return error;
  return make("NEURON_EXECUTION", `(${nrtStatusName(status)}) The system's log has the driver's words.`);
}

/** Whether the core that a call ran on must be taken out of use. */
export function isCoreFailure(error: unknown): boolean {
  return error instanceof NeuronBlipError && error.code === "NEURON_EXECUTION" && isFatalStatus(error.status);
}
