// Answers questions about pictures, each about each: see test/blip/checkpoint.test.ts.
// Usage: node answers.mjs DIRECTORY JSON-LIST-OF-PICTURES JSON-LIST-OF-QUESTIONS [DTYPE]
import { NeuronBlip } from "neuron-blip";
import { featuresOf } from "../../dist/images/encoded-image.js";

const [directory, pictures, questions, given] = process.argv.slice(2);
const blip = await NeuronBlip.fromPretrained(directory, { threads: 1, ...(given && { dtype: given }) });
const answers = [];
let dtype;
for (const picture of JSON.parse(pictures)) {
  const encoded = await blip.encodeImage(picture);
  dtype = featuresOf(encoded).keyValues.value.dtype;
  answers.push(...(await blip.answer(encoded, JSON.parse(questions))).map(({ tokenIds }) => [...tokenIds]));
  encoded.dispose();
}
await blip.dispose();
console.log(JSON.stringify({ dtype, answers }));
