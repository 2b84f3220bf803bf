import type { Examination, Probe } from "../examination.js";
import { type Finding, ok, problem, warning } from "../finding.js";
import { inWords } from "../sizes.js";

/** Less than this is as good as full. */
const LEAST = 100e6;

/**
 * Where temporary files go, and where the model is. AWS's runtime writes a model's files to the disk while it loads it; where
 * they do not fit, the process ends with SIGBUS.
 */
export const disk: Probe = {
  id: "disk",
  async run(examination) {
    const { env } = examination.host;
    const temporary = env.TMPDIR || env.TMP || env.TEMP || examination.host.at("/tmp");
    const model = await examination.model();
    const findings = [await temporaryDirectory(examination, temporary, model?.needsNeuron ? model.bytes : 0)];
    if (model && (await examination.host.isWritable(model.directory))) {
      // One that cannot be written to needs no space.
      findings.push(await modelDirectory(examination, model.directory, model.needsNeuron ? model.bytes : 0));
    }
    return findings;
  },
};

async function temporaryDirectory({ host }: Examination, path: string, bytes: number): Promise<Finding> {
  const id = "disk.temporary";
  if (!(await host.isWritable(path))) {
    return problem(
      id,
      `The directory for temporary files, "${path}", is not there or cannot be written to.`,
      "Make it, or set TMPDIR to a directory that can be written to.",
      { path },
    );
  }
  const free = await host.freeBytes(path);
  const details = { path, free, needed: bytes };
  if (bytes > 0 && free < bytes) {
    return problem(
      id,
      `${inWords(free)} are free for temporary files in "${path}", and the model has ${inWords(bytes)}: loading it onto ` +
        "NeuronCores can end the process with SIGBUS.",
      "Free space there, or set TMPDIR to a directory on a larger disk.",
      details,
    );
  }
  if (free < LEAST) {
    return warning(
      id,
      `${inWords(free)} are free for temporary files in "${path}".`,
      "Free space there, or set TMPDIR to a directory on a larger disk.",
      details,
    );
  }
  return ok(id, `${inWords(free)} are free for temporary files ("${path}").`, details);
}

async function modelDirectory({ host }: Examination, path: string, bytes: number): Promise<Finding> {
  const id = "disk.model";
  const free = await host.freeBytes(path);
  const details = { path, free, needed: bytes };
  if (free >= Math.max(LEAST, bytes)) return ok(id, `${inWords(free)} are free beside the model.`, details);
  return warning(
    id,
    `${inWords(free)} are free on the model's disk ("${path}").`,
    "Free space there before you copy or compile a model to it.",
    details,
  );
}
