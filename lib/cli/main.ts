#!/usr/bin/env node
import { createRequire } from "node:module";
import { print, say, watchOutputs } from "./output.js";
import { didYouMean } from "./suggest.js";
import { complaint, isUsage, UsageError } from "./usage.js";

const HELP = `neuron-blip answers questions about pictures, describes and matches them with BLIP, on AWS Inferentia2 or on the CPU.

Usage: neuron-blip COMMAND [arguments]

  ask MODEL IMAGE QUESTION…  ask a picture one or more questions
  caption MODEL IMAGE…       describe pictures
  match MODEL IMAGE TEXT…    say how likely each text describes a picture
  compare MODEL PICTURE…     say what bfloat16 and int8 change in a checkpoint's answers, and how fast they are
  batch MODEL                ask about a directory of pictures, or a file of JSON lines; goes on where it was stopped
  compile MODEL DIR          compile a Hugging Face model into a model directory (needs Python with torch and transformers)
  demo                       ask a small bundled model about bundled pictures, and write a page that shows the answers
  doctor [MODEL]             check this host, and a model against it, and say how to mend what is wrong
  validate MODEL             check a model on this host: outputs, speed, memory, a soak, exits; writes a report
  bench FILE                 time a TorchScript file at several batch sizes
  serve MODEL                answer questions by HTTP (needs the package @neuron-blip/server)
  work MODEL --queue URL     do the jobs of a queue in Redis (needs the package @neuron-blip/server)
  build                      build the native addon, where the package manager did not

MODEL is a model directory, or a name on the Hugging Face Hub such as Salesforce/blip-vqa-base.
\`neuron-blip COMMAND --help\` tells more. Exit codes: 0 done, 1 failed, 2 wrong arguments.`;

/** A command: takes the arguments after its name, returns the exit code. */
type Command = (args: string[]) => Promise<number>;

/** Loaded when asked for, so that `build` works where the addon, or a dependency, does not load. */
const commands: Record<string, () => Promise<{ run: Command }>> = {
  ask: () => import("./ask.js"),
  batch: () => import("./batch.js"),
  bench: () => import("./bench.js"),
  build: () => import("./build.js"),
  caption: () => import("./caption.js"),
  compare: () => import("./compare.js"),
  compile: () => import("./compile.js"),
  demo: () => import("./demo.js"),
  doctor: () => import("./doctor.js"),
  match: () => import("./match.js"),
  serve: () => import("./serve.js"),
  validate: () => import("./validate.js"),
  work: () => import("./work.js"),
};

async function main([name, ...args]: string[]): Promise<number> {
  if (name === "help" && args[0] !== undefined && !args[0].startsWith("-")) return main([args[0], "--help"]);
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    print(HELP);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    print(createRequire(import.meta.url)("../../package.json").version);
    return 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!load) {
    const like = didYouMean(name, [...Object.keys(commands), "help", "--help", "--version"]);
    throw new UsageError(
      `There is no command "${name.slice(0, 100)}".${like} \`neuron-blip --help\` lists the commands.`,
    );
  }
  const { run } = await load();
  return run(args);
}

watchOutputs();
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(complaint(error));
  process.exitCode = isUsage(error) ? 2 : 1;
}
