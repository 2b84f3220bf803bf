// Many questions about many pictures, where a picture that cannot be read fails alone:
//   node examples/questions.mjs ./blip-vqa-base "what is in the picture?" a.jpg b.jpg …
import { NeuronBlip } from "neuron-blip";

const [directory, question, ...pictures] = process.argv.slice(2);
if (directory === undefined || question === undefined || pictures.length === 0) {
  throw new Error("Give a model directory, a question and pictures.");
}

const blip = await NeuronBlip.fromPretrained(directory);

// One question about each picture.
const outcomes = await blip.answer(pictures, question, { settled: true });
for (const [i, outcome] of outcomes.entries()) {
  if (outcome.status === "fulfilled") console.log(`${pictures[i]}: ${outcome.value.answer}`);
  else console.log(`${pictures[i]}: ${outcome.reason.code}`);
}

// A picture that is asked about now and then: look once, ask often, give its memory back.
const [first = ""] = pictures;
const picture = await blip.encodeImage(first);
const [color, count] = await blip.answer(picture, ["what color is the square?", "how many shapes are there?"]);
console.log(`${first}: ${color?.answer}, ${count?.answer}`);
picture.dispose();

await blip.dispose();
