import { NeuronBlipError } from "../errors.js";
import type { CaptionOptions } from "../index.js";
import { NeuronBlip } from "../neuron-blip.js";
import { HUB_ARGUMENTS, hubHelp, loadingOptions, orHubName } from "./hub-arguments.js";
import { print, say } from "./output.js";
import { pictureOf } from "./picture-argument.js";
import { command, complaint, defined, switches, texts, UsageError, wholeNumber } from "./usage.js";

const HELP = `Describes pictures.

Usage: neuron-blip caption MODEL IMAGE… [options]

  MODEL  a model directory, made by \`neuron-blip compile\` from a BlipForConditionalGeneration;
${orHubName(9, "Salesforce/blip-image-captioning-base")}
  IMAGE  one or more JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP files; - reads one from the standard input

  --prompt TEXT        what the captions begin with, such as "a picture of" (default: nothing)
  --num-beams N        beam search with N beams (default 1: greedy)
  --max-new-tokens N   the longest caption, in tokens after the prompt (default 20, or what was compiled)
  --max-pixels N       refuse a picture that declares more pixels (default 89478485)
${hubHelp(21)}
  --json               print one JSON object per picture: {image, caption, score, sumLogProbability, meanLogProbability,
                       tokenIds, …}
  --help               print this

A picture that cannot be read does not keep the others from being described.
Exit codes: 0 described, 1 failed, or a picture failed, 2 wrong arguments.`;

const OPTIONS = {
  ...texts("prompt", "num-beams", "max-new-tokens", "max-pixels"),
  ...switches("json"),
  ...HUB_ARGUMENTS,
} as const;

/** Runs `neuron-blip caption`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [model, ...images] = positionals;
  if (model === undefined || images.length === 0) {
    throw new UsageError("caption takes a model and at least one picture. `neuron-blip caption --help` tells more.");
  }
  const options = defined<CaptionOptions>({
    prompt: values.prompt,
    numBeams: wholeNumber("num-beams", values["num-beams"]),
    maxNewTokens: wholeNumber("max-new-tokens", values["max-new-tokens"]),
  });
  const loading = loadingOptions(values);
  const pictures = await Promise.all(images.map(pictureOf));
  await using blip = await NeuronBlip.fromPretrained(model, loading);
  const outcomes = await blip.caption(pictures, { ...options, settled: true });
  for (const [i, outcome] of outcomes.entries()) {
    const image = images[i];
    if (outcome.status === "rejected") {
      if (!isOfOnePicture(outcome.reason)) throw outcome.reason;
      say(complaint(outcome.reason));
    } else if (values.json) print(JSON.stringify({ image, ...outcome.value }));
    else print(`${image} ${outcome.value.caption} (score ${outcome.value.score.toFixed(3)})`);
  }
  return outcomes.every(({ status }) => status === "fulfilled") ? 0 : 1;
});

function isOfOnePicture(error: unknown): boolean {
  return error instanceof NeuronBlipError && (error.code === "INVALID_IMAGE" || error.code === "IMAGE_TOO_LARGE");
}
