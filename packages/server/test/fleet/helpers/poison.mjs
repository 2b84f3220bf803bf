// Loaded before a worker: a question with "poison" in it ends the process, as a fault of the native code would.
import { NeuronBlip } from "neuron-blip";

const { answer } = NeuronBlip.prototype;
NeuronBlip.prototype.answer = function (/** @type {Parameters<typeof answer>} */ ...args) {
  if (JSON.stringify(args[1]).includes("poison")) process.kill(process.pid, "SIGKILL");
  return answer.apply(this, args);
};
