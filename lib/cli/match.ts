import { NeuronBlip } from "../neuron-blip.js";
import { HUB_ARGUMENTS, hubHelp, loadingOptions, orHubName } from "./hub-arguments.js";
import { print } from "./output.js";
import { pictureOf } from "./picture-argument.js";
import { command, defined, switches, texts, UsageError } from "./usage.js";

const HELP = `Says how likely each text describes a picture.

Usage: neuron-blip match MODEL IMAGE TEXT… [options]

  MODEL  a model directory, made by \`neuron-blip compile\` from a BlipForImageTextRetrieval;
${orHubName(9, "Salesforce/blip-itm-base-coco")}
  IMAGE  a JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP file; - reads one from the standard input
  TEXT   one or more, each in quotes

  --max-pixels N  refuse a picture that declares more pixels (default 89478485)
  --truncate      cut texts that are longer than the compiled length (default: an error)
${hubHelp(16)}
  --json          print one JSON object per text: {image, text, score, logits}
  --help          print this

The probability is each text's own: they need not add up to 1.
Exit codes: 0 done, 1 failed, 2 wrong arguments.`;

const OPTIONS = { ...texts("max-pixels"), ...switches("truncate", "json"), ...HUB_ARGUMENTS } as const;

/** Runs `neuron-blip match`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [model, image, ...texts] = positionals;
  if (model === undefined || image === undefined || texts.length === 0) {
    throw new UsageError(
      "match takes a model, a picture and at least one text. `neuron-blip match --help` tells more.",
    );
  }
  const loading = loadingOptions(values);
  const picture = await pictureOf(image);
  await using blip = await NeuronBlip.fromPretrained(model, loading);
  const matches = await blip.match(picture, texts, defined({ truncation: values.truncate }));
  for (const [i, match] of matches.entries()) {
    const text = texts[i];
    if (values.json) print(JSON.stringify({ image, text, ...match }));
    else print(`${text} (probability ${match.score.toFixed(3)})`);
  }
  return 0;
});
