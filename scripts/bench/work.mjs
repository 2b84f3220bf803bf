// What BLIP-VQA's stages have to calculate and to read, from a checkpoint's config.json: the least that any program must do.

/**
 * @typedef {object} BlipVqaConfig what is used of config.json
 * @property {{hidden_size: number, intermediate_size: number, num_hidden_layers: number, image_size: number, patch_size: number}} vision_config
 * @property {{hidden_size: number, intermediate_size: number, num_hidden_layers: number, encoder_hidden_size: number, vocab_size: number}} text_config
 */
/** @typedef {[inputs: number, outputs: number]} Linear */
/**
 * @typedef {object} Work
 * @property {number} operations an addition and a multiplication are two
 * @property {number} weights how many are read
 */

/**
 * Linears that so many rows go through.
 * @param {number} rows @param {readonly Linear[]} linears
 * @returns {Work}
 */
function workOf(rows, linears) {
  const weights = linears.reduce((sum, [inputs, outputs]) => sum + inputs * outputs, 0);
  return { operations: 2 * rows * weights, weights };
}

/**
 * @param {BlipVqaConfig} config
 * @param {{questionTokens: number, answerTokens: number}} lengths
 */
export function workOfModel({ vision_config: vision, text_config: text }, { questionTokens, answerTokens }) {
  const patches = (vision.image_size / vision.patch_size) ** 2;
  const tokens = patches + 1;
  /** @template T @param {number} count @param {readonly T[]} each @returns {T[]} */
  const layers = (count, each) => Array.from({ length: count }, () => each).flat();

  const [width, inner] = [vision.hidden_size, vision.intermediate_size];
  /** @type {Linear[]} */
  const visionLayer = [
    [width, 3 * width],
    [width, width],
    [width, inner],
    [inner, width],
  ];
  const visionLinears = workOf(tokens, layers(vision.num_hidden_layers, visionLayer));
  const patching = workOf(patches, [[3 * vision.patch_size ** 2, width]]);
  // Every token's query with every key, and the weighted sum of values.
  const attention = vision.num_hidden_layers * 2 * (2 * tokens ** 2 * width);

  const size = text.hidden_size;
  /** @type {Linear[]} */
  const textLayer = [
    [size, 3 * size],
    [size, size],
    [size, size], // of the attention to the picture, or to the question
    [size, size],
    [size, text.intermediate_size],
    [text.intermediate_size, size],
  ];
  const textLinears = layers(text.num_hidden_layers, textLayer);
  /** Keys and values of what is attended to. @param {number} rows @param {number} inputs */
  const keysValues = (rows, inputs) => workOf(rows, layers(text.num_hidden_layers, [[inputs, 2 * size]]));
  /** @type {Linear[]} */
  const head = [
    [size, size],
    [size, text.vocab_size],
  ];
  const decoderLinears = [...textLinears, ...head];

  const picture = {
    operations: visionLinears.operations + patching.operations + attention,
    weights: visionLinears.weights + patching.weights,
  };
  const step = workOf(1, decoderLinears);
  const next = [
    workOf(questionTokens, textLinears),
    keysValues(questionTokens, size),
    ...Array.from({ length: answerTokens }, () => step),
  ];
  return {
    vision: [picture],
    step: [step],
    next,
    whole: [picture, keysValues(tokens, text.encoder_hidden_size), ...next],
    /** Those of one decoder step. */
    decoderLinears,
  };
}
