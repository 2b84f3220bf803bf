/**
 * What a person reads, by what the model does.
 * @typedef {object} TaskWords
 * @property {string} title
 * @property {string} lead
 * @property {string} label of the field
 * @property {string} placeholder
 * @property {string} button
 * @property {boolean} needsText
 * @property {string[]} suggestions
 * @property {string} scoreNote
 */

const SURE = "The score, from 0 to 1, is how sure the model is of its words. It does not say how often it is right.";

/** @type {Readonly<Record<import("./server.js").Settings["task"], TaskWords>>} */
export const TASKS = {
  answer: {
    title: "Ask about a picture",
    lead: "Choose a picture, then ask whatever you want to know about it.",
    label: "Your question",
    placeholder: "what is in the picture?",
    button: "Ask",
    needsText: true,
    suggestions: ["what is in the picture?", "how many people are there?", "is it day or night?"],
    scoreNote: SURE,
  },
  caption: {
    title: "Describe a picture",
    lead: "Choose a picture, and the model says what it sees.",
    label: "How the description begins (may be empty)",
    placeholder: "a picture of",
    button: "Describe",
    needsText: false,
    suggestions: [],
    scoreNote: SURE,
  },
  match: {
    title: "Does a text fit a picture?",
    lead: "Choose a picture, then write what may be in it. The model says how well that fits.",
    label: "A text about the picture",
    placeholder: "a dog on a beach",
    button: "Compare",
    needsText: true,
    suggestions: [],
    scoreNote: "The score, from 0 to 1, is how probable the model finds it that the text describes the picture.",
  },
};
