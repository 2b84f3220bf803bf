// The random checkpoints that scripts/parity/full.mjs compares.

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {"question_answering" | "captioning" | "retrieval"} head
 * @property {string} shape of checkpoints.py; those that are not small have the published models' full size
 * @property {number} seed
 * @property {Record<string, number>} [changes] fields of the shape
 * @property {number} [logit_scale]
 * @property {boolean} [tied] default true
 * @property {"float16" | "bfloat16"} [dtype] of the numbers in the files
 * @property {string} [max_shard_size]
 * @property {[height: number, width: number]} [size] of pictures, by interpolated position embeddings
 */

/** One of these is in every run of `npm run test:parity`. */
export const SMOKE = "question-answering-base";

/** @type {readonly Model[]} */
export const FULL_SIZE = [
  { name: SMOKE, head: "question_answering", shape: "base", seed: 1, logit_scale: 4 },
  { name: "question-answering-large", head: "question_answering", shape: "large-one-width", seed: 2, logit_scale: 4 },
  {
    name: "captioning-base-float16",
    head: "captioning",
    shape: "base",
    seed: 3,
    logit_scale: 4,
    dtype: "float16",
    max_shard_size: "200MB",
  },
  { name: "captioning-large", head: "captioning", shape: "large", seed: 4, logit_scale: 4 },
  { name: "retrieval-base", head: "retrieval", shape: "base", seed: 5, changes: { vocabulary_size: 30522 } },
  { name: "retrieval-large", head: "retrieval", shape: "large", seed: 6 },
];

/** @type {readonly Omit<Model, "head" | "name">[]} */
const SMALL_FORMS = [
  { shape: "small", seed: 21 },
  { shape: "deep", seed: 22, dtype: "float16" },
  { shape: "wide", seed: 23, dtype: "bfloat16", max_shard_size: "60KB" },
  { shape: "small", seed: 24, tied: false, max_shard_size: "100KB" },
  { shape: "deep", seed: 25, size: [96, 64] },
  { shape: "wide", seed: 26, size: [32, 80] },
];

/** @type {readonly Model[]} */
export const SMALL = /** @type {const} */ (["question_answering", "captioning", "retrieval"]).flatMap((head) =>
  SMALL_FORMS.filter(({ tied }) => tied !== false || head !== "retrieval").map((form) => {
    const { shape, seed, dtype, tied, size } = form;
    const told = [head.replace("_", "-"), shape, seed, dtype, tied === false && "untied", size?.join("x")];
    return { ...form, head, name: told.filter(Boolean).join("-") };
  }),
);
