import { AnswerCard, clearAnswers } from "./answers.js";
import { byId, make } from "./elements.js";
import { askForKey } from "./key.js";
import { takePictures } from "./picture.js";
import { Problem, wordsOf } from "./problems.js";
import { ask, hasKey, readSettings, useKey } from "./server.js";
import { TASKS } from "./tasks.js";

const loading = byId("loading", HTMLElement);
const unreachable = byId("unreachable", HTMLElement);
const work = byId("work", HTMLElement);
const talk = byId("talk", HTMLElement);
const form = byId("ask-form", HTMLFormElement);
const choose = byId("choose", HTMLButtonElement);
const text = byId("text", HTMLInputElement);
const button = byId("ask", HTMLButtonElement);
const scoreNote = byId("score-note", HTMLElement);

/** @type {import("./server.js").Settings | undefined} */
let settings;
/** @type {File | undefined} */
let picture;
/** Ends the question that is under way. @type {AbortController | undefined} */
let asking;

/** Asks the server what it is, and shows what can be done here; or asks for its key. */
async function connect() {
  loading.hidden = false;
  unreachable.hidden = true;
  work.hidden = true;
  try {
    settings = await readSettings();
    begin(settings);
  } catch (error) {
    if (error instanceof Problem && error.code === "UNAUTHORIZED") needKey(error);
    else {
      byId("unreachable-why", HTMLElement).textContent =
        error instanceof Problem ? wordsOf(error) : "The server replied with what this page does not understand.";
      unreachable.hidden = false;
    }
  } finally {
    loading.hidden = true;
  }
}

/** @param {Problem} problem */
function needKey(problem) {
  const why = hasKey() ? problem.message : "";
  useKey(undefined);
  work.hidden = true;
  askForKey(why, async (key) => {
    useKey(key);
    await connect();
    // The field that had the focus is gone. Where something here is hidden, this does nothing.
    (picture === undefined ? choose : text).focus();
  });
}

/** @param {import("./server.js").Settings} found */
function begin({ task, modelName, maxQuestionLength, standingQuestions }) {
  const words = TASKS[task];
  document.title = `${words.title} · ${modelName}`;
  byId("title", HTMLElement).textContent = words.title;
  byId("lead", HTMLElement).textContent = words.lead;
  byId("model", HTMLElement).textContent = modelName;
  byId("ask-label", HTMLElement).textContent = words.label;
  scoreNote.textContent = words.scoreNote;
  text.placeholder = words.placeholder;
  text.required = words.needsText;
  text.maxLength = maxQuestionLength;
  button.textContent = words.button;
  const suggestions = task === "answer" && standingQuestions.length > 0 ? standingQuestions : words.suggestions;
  byId("suggestions", HTMLElement).replaceChildren(...suggestions.map(suggestion));
  work.hidden = false;
}

function hasTouch() {
  return matchMedia("(any-pointer: coarse)").matches;
}

/** @param {string} question */
function suggestion(question) {
  const item = make("li");
  const chip = make("button", "chip", question);
  chip.type = "button";
  chip.addEventListener("click", () => askModel(question));
  item.append(chip);
  return item;
}

/** @param {string} question */
async function askModel(question) {
  if (settings === undefined || picture === undefined) return;
  asking?.abort();
  const own = new AbortController();
  asking = own;
  button.textContent = "Stop";
  form.noValidate = true; // to stop needs no text
  const card = new AnswerCard(question);
  try {
    for await (const next of ask(settings, picture, question, own.signal)) {
      if ("piece" in next) card.add(next.piece);
      else card.end(next);
    }
    scoreNote.hidden = false;
  } catch (error) {
    if (own.signal.aborted) card.stop();
    else if (error instanceof Problem && error.code === "UNAUTHORIZED") {
      card.remove();
      needKey(error);
    } else card.fail(error, () => askModel(question));
  } finally {
    if (asking === own) {
      asking = undefined;
      form.noValidate = false;
      button.textContent = TASKS[settings.task].button;
    }
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (asking) {
    asking.abort();
    return;
  }
  text.value = text.value.trim();
  if (!form.reportValidity()) return;
  askModel(text.value);
  // On a touch screen the keyboard would hide the picture and the answer.
  if (hasTouch()) text.blur();
  else text.select();
});
byId("reconnect", HTMLButtonElement).addEventListener("click", connect);
takePictures(
  () => (work.hidden ? undefined : settings?.maxBodyBytes),
  (chosen) => {
    asking?.abort();
    picture = chosen;
    clearAnswers();
    scoreNote.hidden = true;
    document.body.classList.add("has-picture");
    talk.hidden = false;
    if (!hasTouch()) text.focus();
  },
);
await connect();
