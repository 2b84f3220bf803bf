// What the workers of examples/sqs-worker.mjs and examples/nats-worker.mjs do with a job, whatever queue it comes from.

/** The job itself is wrong: it cannot be done, now or ever. */
export class BadJob extends Error {}

/** What the library says of input that will fail again the next time. */
const BAD_INPUT = ["INVALID_INPUT", "INVALID_IMAGE", "IMAGE_TOO_LARGE", "INPUT_TOO_LONG"];

/**
 * Reads `{ id, picture: { [place] }, questions }`. The producer is a stranger: nothing of it is trusted.
 * @param {string} text
 * @param {string} place what says where the picture is
 * @returns {{ id: string, picture: string, questions: string[] }}
 */
export function readJob(text, place) {
  let job;
  try {
    job = JSON.parse(text);
  } catch {
    throw new BadJob("The job is no JSON.");
  }
  const id = job?.id;
  // It becomes a name in the store of results.
  if (typeof id !== "string" || !/^[\w-]{1,200}$/.test(id))
    throw new BadJob("The job has no id of letters and digits.");
  const picture = job.picture?.[place];
  if (typeof picture !== "string" || picture === "") throw new BadJob(`The job has no picture.${place}.`);
  const { questions } = job;
  const isText = (/** @type {unknown} */ question) => typeof question === "string" && question !== "";
  if (!Array.isArray(questions) || questions.length === 0 || questions.length > 32 || !questions.every(isText)) {
    throw new BadJob("The job has no list of 1 to 32 questions.");
  }
  return { id, picture, questions };
}

/**
 * @param {import("neuron-blip").NeuronBlip} blip
 * @param {Uint8Array} picture a file's bytes
 * @param {{ id: string, questions: string[] }} job
 * @returns {Promise<string>} the result as JSON
 */
export async function answerJob(blip, picture, { id, questions }) {
  const answers = await blip.answer(picture, questions);
  return JSON.stringify({
    id,
    answers: answers.map(({ answer, score }, i) => ({ question: questions[i], answer, score })),
  });
}

/**
 * Whether the job is to blame, and not the moment.
 * @param {any} error
 */
export function isBad(error) {
  return error instanceof BadJob || BAD_INPUT.includes(error?.code);
}
