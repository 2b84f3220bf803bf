import { findCached } from "../hub/download-model.js";
import { examine } from "../tools/doctor/doctor.js";
import { render } from "../tools/doctor/render.js";
import { isHubName } from "../util/hub-name.js";
import { HUB_ARGUMENTS, hubOptions, isLocal } from "./hub-arguments.js";
import { print } from "./output.js";
import { command, count, switches, texts, UsageError } from "./usage.js";

const HELP = `Looks at everything that can keep this host from running neuron-blip, and says what to do about it.

Usage: neuron-blip doctor [MODEL] [options]

  MODEL  a model directory, to be checked too: its files, and whether this host has what it was compiled for; or a name on the
         Hugging Face Hub, of which the cache is looked at

  --replicas N      how many replicas (numModels) are to be loaded, for the memory and cores they need (default: 1)
  --tokenizer DIR   where the tokenizer's files are, if not with the model
  --revision REV    of a model on the Hub: a branch, tag or commit (default main)
  --json            print one JSON object: {version, host, verdict, findings: [{id, status, what, cure, details}]}
  --help            print this

✓ is fine, ! works but not as it should, ✗ is a problem, - was not looked at. Without AWS Neuron a host is fine for models
compiled for the CPU. What is native is tried in child processes; nothing is changed, and no NeuronCore is taken.
Exit codes: 0 no problems (there may be warnings), 1 problems, 2 wrong arguments.`;

const OPTIONS = { ...texts("replicas", "tokenizer"), ...switches("json"), revision: HUB_ARGUMENTS.revision } as const;

/** Runs `neuron-blip doctor`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [given, ...more] = positionals;
  if (more.length > 0) throw new UsageError("doctor takes one model. `neuron-blip doctor --help` tells more.");
  const replicas = count("replicas", values.replicas);
  const { revision } = hubOptions(values);
  const directory = given === undefined ? undefined : await localPathOf(given, revision);
  const tokenizer = values.tokenizer === undefined ? undefined : await localPathOf(values.tokenizer, undefined);
  const report = await examine({ directory, tokenizer, replicas });
  print(values.json ? JSON.stringify(report, null, 2) : render(report, process.stdout.columns));
  return report.verdict === "problem" ? 1 : 0;
});

/** Finds a model's path on this host, of one on the Hub too: the doctor fetches nothing. */
async function localPathOf(given: string, revision: string | undefined): Promise<string> {
  if (!isHubName(given) || (await isLocal(given))) return given;
  // As a path it is no name any more.
  return (await findCached(given, revision)) ?? `./${given}`;
}
