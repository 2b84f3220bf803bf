/**
 * The ids of everything that the tools find, each with what it is about. They are the same in every version, for programs that
 * read the reports: none is renamed, and none gets another meaning. docs/findings.md lists them for users.
 */
export const FINDINGS = {
  doctor: {
    node: "Node is new enough",
    platform: "the system, its processor and its C library are supported",
    addon: "the native addon is there and loads",
    libtorch: "the libtorch that the addon was built with is the one that is there",
    blas: "libtorch calculates with a fast linear algebra",
    threads: "OpenMP's settings fit the cores that can be used",
    memory: "the replicas' weights fit into memory",
    disk: "the disks could be looked at",
    "disk.temporary": "temporary files can be written, and a model's for NeuronCores fit",
    "disk.model": "there is space beside the model",
    "neuron.driver": "Neuron's kernel driver is loaded, and its devices can be used",
    "neuron.runtime": "libnrt.so.1 is there, loads and fits the driver",
    "neuron.libtorchneuron": "libtorchneuron.so is there",
    "neuron.libtorchneuron.file": "libtorchneuron.so can be read",
    "neuron.libtorchneuron.arch": "libtorchneuron.so is for this processor",
    "neuron.libtorchneuron.product": "its torch-neuronx is the one that runs compiled parts",
    "neuron.libtorchneuron.glibc": "the system's C library is new enough for it",
    "neuron.libtorchneuron.torch": "it was made for the addon's libtorch",
    "neuron.libtorchneuron.abi": "it was made with the addon's C++ ABI",
    "neuron.libtorchneuron.load": "it loads beside the addon",
    "neuron.tools": "neuron-ls and neuron-monitor are there",
    "neuron.settings": "NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES name cores that there are",
    "neuron.cores": "no other process holds the cores",
    "model.config": "config.json is of a BLIP that this package runs",
    "model.manifest": "neuron_blip.json can be read and fits config.json",
    "model.files": "every file is the one that the manifest describes, or that the checkpoint needs",
    "model.target": "this host has what the model was compiled for",
    "model.versions": "the torch that traced the parts fits the libtorch that runs them",
    "model.neuron": "what compiled the parts for Neuron fits this host's SDK and device",
    "model.settings": "what is read besides the parts could be looked at",
    "model.tokenizer": "the tokenizer's files can be read",
    "model.pictures": "preprocessor_config.json can be read",
    "model.generation": "generation_config.json can be read",
  },
  /** NAME is a part's or an output's, N a number of replicas. */
  validate: {
    parts: "the parts were loaded, compared and timed to the end",
    reference: "reference.safetensors is there, and the one that the manifest describes",
    "part.NAME": "a part's outputs are those recorded",
    whole: "whole results could be compared",
    "whole.NAME": "a retrieval model's scores are those recorded",
    tokens: "whole answers or captions are those recorded",
    latency: "one caller of one replica gets equal results without errors",
    "throughput.N": "so do two callers for each of N replicas",
    scaling: "replicas add up",
    soak: "results stay equal and without errors over minutes",
    memory: "memory does not grow over the soak",
    "event-loop": "the event loop is not held up",
    "exit.natural": "a process that has disposed of the model ends",
    "exit.process-exit": "process.exit() in the middle of an answer ends the process cleanly",
  },
} as const;

type Named<Id extends string> = Id extends `${infer Kind}.${"NAME" | "N"}` ? `${Kind}.${string}` : Id;

export type DoctorId = keyof typeof FINDINGS.doctor;
export type CheckId = Named<keyof typeof FINDINGS.validate>;
