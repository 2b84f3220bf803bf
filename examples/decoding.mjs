// The ways to generate an answer:
//   node examples/decoding.mjs ./blip-vqa-base picture.jpg "what is in the picture?"
import { NeuronBlip } from "neuron-blip";

const [directory, picture, question] = process.argv.slice(2);
if (directory === undefined || picture === undefined || question === undefined) {
  throw new Error("Give a model directory, a picture and a question.");
}

const blip = await NeuronBlip.fromPretrained(directory);

const greedy = await blip.answer(picture, question);
console.log("greedy:", greedy.answer);

const beams = await blip.answer(picture, question, { numBeams: 3, numReturnSequences: 3 });
console.log("beams:", [beams, ...(beams.alternatives ?? [])].map(({ answer }) => answer).join(" | "));

const drawn = await blip.answer(picture, question, { doSample: true, temperature: 2, topK: 10, topP: 0.9, seed: 1 });
console.log("drawn:", drawn.answer);

// Forbid a word. `encode` adds [CLS] and [SEP], which are no part of it.
const { tokenizer } = blip.processor;
const purple = tokenizer.encode("purple").ids.slice(1, -1);
const forbidden = await blip.answer(picture, question, { badWordsIds: [purple] });
console.log("without purple:", forbidden.answer);

// A processor of your own: it changes the next token's scores in place. This one makes purple and every repetition unlikely.
const [purpleId = 0] = purple;
/** @type {import("neuron-blip").LogitsProcessor} */
const shun = (sequence, scores) => {
  for (const token of [purpleId, ...sequence]) scores[token] = (scores[token] ?? 0) - 20;
};
const shunned = await blip.answer(picture, question, { logitsProcessors: [shun] });
console.log("own processor:", shunned.answer);

// A criterion of your own: end after the word "square".
const square = tokenizer.encode("square").ids.at(-2);
const stopped = await blip.answer(picture, question, { stoppingCriteria: [(sequence) => sequence.at(-1) === square] });
console.log("own criterion:", stopped.answer);

process.stdout.write("streamed:");
for await (const piece of blip.stream(picture, question)) process.stdout.write(` ${piece.trim()}`);
process.stdout.write("\n");

const [best] = await blip.rank(picture, "how many shapes are there?", ["1", "2", "3"]);
console.log(`ranked first: ${best?.answer}, probability ${best?.probability.toFixed(3)}`);

await blip.dispose();
