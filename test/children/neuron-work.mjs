// What tests of the Neuron runtime ask, here and in their children: question n is about picture n.
const QUESTIONS = ["what is it?", "is there a cat?", "how many dogs are there?", "what color is the car?"];

/** A small picture; there are three of them. */
export function picture(n) {
  const factor = [7, 31, 101][n % 3];
  return {
    data: Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * factor) % 256),
    width: 32,
    height: 32,
    channels: 3,
  };
}

export function question(n) {
  return QUESTIONS[n % 4];
}

/** How many questions about pictures there are that differ. */
export const DIFFERENT = 12;

/** The answer's tokens. */
export async function ask(blip, n) {
  return [...(await blip.answer(picture(n), question(n))).tokenIds];
}
