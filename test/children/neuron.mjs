// A process that uses Neuron as its parent says: test/children/neuron-process.ts. It ends when its parent lets go of it and nothing
// else is left to do.
import { Worker } from "node:worker_threads";
import { NeuronBlip, Tensor, TorchModule } from "neuron-blip";
import { ask, picture, question } from "./neuron-work.mjs";

const EVENTS = ["replicaFailed", "replicaReloading", "replicaReady", "replicaGivenUp", "restartRequired"];
const models = new Map();
const modules = new Map();
const pictures = new Map();

const toMessage = ({ code, message, status, stack }) => ({ code, message: code ? message : stack, status });

const methods = {
  async load(name, directory, options) {
    const blip = await NeuronBlip.fromPretrained(directory, { threads: 1, ...options });
    for (const event of EVENTS) {
      blip.on(event, ({ error, ...rest }) =>
        process.send({ event, ...rest, ...(error && { error: toMessage(error) }) }),
      );
    }
    models.set(name, blip);
    return blip.numModels;
  },
  /** Asks `count` questions at once. */
  ask: (name, count) =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        ask(models.get(name), n).then(
          (tokenIds) => ({ tokenIds }),
          (error) => ({ error: toMessage(error) }),
        ),
      ),
    ),
  async look(name, n) {
    pictures.set(n, await models.get(name).encodeImage(picture(n)));
  },
  /** The answer's text, in pieces, about a picture that was looked at. */
  async stream(name, n) {
    const pieces = [];
    for await (const piece of models.get(name).stream(pictures.get(n), question(n))) pieces.push(piece);
    return pieces;
  },
  dispose: (name) => models.get(name).dispose(),
  async loadModule(path, options) {
    const module = await TorchModule.load(path, options);
    modules.set(path, module);
    return module.usesNeuron;
  },
  usesNeuron: (path) => TorchModule.usesNeuron(path),
  setNeuronCores: (path, start, count) => modules.get(path).setNeuronCores(start, count),
  async forward(path, shape) {
    await modules.get(path).forward([Tensor.zeros("float32", shape)]);
  },
  /** Loads a model and asks in a Worker. */
  worker: (directory, options, count) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./neuron-worker.mjs", import.meta.url), {
        workerData: { directory, options, count },
      });
      worker.on("message", ({ answers, error }) => (error ? reject(error) : resolve(answers)));
      worker.on("error", reject);
    }),
};

process.on("message", async ({ id, method, args }) => {
  try {
    process.send({ id, value: await methods[method](...args) });
  } catch (error) {
    process.send({ id, error: toMessage(error) });
  }
});
