// Captions, and how well texts fit pictures:
//   node examples/captions.mjs ./blip-image-captioning-base-cpu ./blip-itm-base-coco-cpu a.jpg b.jpg …
import { NeuronBlip } from "neuron-blip";

const [captioning, retrieval, ...pictures] = process.argv.slice(2);
const [first] = pictures;
if (captioning === undefined || retrieval === undefined || first === undefined) {
  throw new Error("Give a captioning model, a retrieval model and pictures.");
}

const captioner = await NeuronBlip.fromPretrained(captioning);
const options = { prompt: "a picture of", numBeams: 3, maxNewTokens: 10 };
for (const [i, { caption }] of (await captioner.caption(pictures, options)).entries()) {
  console.log(`${pictures[i]}: ${caption}`);
}
await captioner.dispose();

const matcher = await NeuronBlip.fromPretrained(retrieval);
const texts = ["a purple square", "a yellow star"];
for (const [i, { score }] of (await matcher.match(first, texts)).entries()) {
  console.log(`match ${texts[i]}: ${score.toFixed(3)}`);
}
const similarities = await matcher.similarity(pictures, texts); // a list for each picture, with a number for each text
for (const [i, row] of similarities.entries()) {
  console.log(`similarity ${pictures[i]}: ${row.map((cosine) => cosine.toFixed(3)).join(" ")}`);
}
await matcher.dispose();
