// What test-runner.mjs runs: all that is made here is of the context.
import { NeuronBlip, NeuronBlipError, Tensor, TorchModule } from "../../dist/index.js";

/** What becomes of a call. */
async function outcome(call) {
  try {
    await call();
    return "nothing was thrown";
  } catch (error) {
    return error instanceof NeuronBlipError ? `${error.code} ${error.message}` : `untyped: ${error}`;
  }
}

export default async function run(model, picture, question, file) {
  const blip = await NeuronBlip.fromPretrained(model);
  const { answer } = await blip.answer(picture, question);
  const late = new AbortController();
  const { answer: signalled } = await blip.answer(picture, question, { signal: late.signal });
  let streamed = "";
  for await (const piece of blip.stream(picture, question, { signal: late.signal })) streamed += piece;
  const missing = await outcome(() => blip.answer("no-such-picture.png", question));
  await blip[Symbol.asyncDispose]();
  const disposed = await outcome(() => blip.answer(picture, question));
  const tensor = Tensor.from(new Float32Array([1, 2, 3, 4]), [2, 2]);
  const module = await TorchModule.load(file);
  const output = await module.forward([tensor]);
  const sum = Array.from(output.data);
  tensor[Symbol.dispose]();
  await module[Symbol.asyncDispose]();
  const noDirectory = await outcome(() => NeuronBlip.fromPretrained("no-such-directory"));
  const methods = Object.getOwnPropertyNames(NeuronBlip.prototype).concat(Object.getOwnPropertyNames(Tensor.prototype));
  return {
    answer,
    signalled,
    streamed,
    missing,
    disposed,
    sum,
    noDirectory,
    hasUndefined: methods.includes("undefined"),
  };
}
