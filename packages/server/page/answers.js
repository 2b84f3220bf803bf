import { announce, byId, make } from "./elements.js";
import { Problem, wordsOf } from "./problems.js";

const list = byId("answers", HTMLOListElement);

export function clearAnswers() {
  list.replaceChildren();
}

/** One question with its answer, as it comes. */
export class AnswerCard {
  #item = make("li", "answer waiting");
  #text = make("p", "text");
  #foot = make("div", "foot");
  #began = performance.now();

  /** @param {string} question */
  constructor(question) {
    if (question !== "") this.#item.append(make("p", "question", question));
    this.#text.append(make("span", "unseen", "The model looks at the picture …"));
    this.#item.append(this.#text, this.#foot);
    list.prepend(this.#item);
    this.#show();
  }

  /** @param {string} piece of the answer */
  add(piece) {
    if (this.#item.classList.replace("waiting", "growing")) this.#text.textContent = "";
    this.#text.append(piece);
  }

  /**
   * The answer is there. A match has no text: its score is the answer.
   * @param {{text: string, score: number}} answer
   */
  end({ text, score }) {
    const rounded = score < 0.005 ? "below 0.01" : score.toFixed(2);
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(2);
    this.#item.classList.remove("waiting", "growing");
    this.#text.textContent = text === "" ? rounded : text;
    const bar = make("span", "bar");
    bar.setAttribute("aria-hidden", "true");
    bar.style.setProperty("--score", String(score));
    this.#foot.append(bar);
    if (text !== "") this.#foot.append(make("span", "score", `score ${rounded}`));
    this.#foot.append(make("span", "time", `${seconds} s`));
    this.#show();
    announce(`${text} Score ${rounded}.`);
  }

  /** It was stopped by who asked. */
  stop() {
    this.#item.classList.remove("waiting", "growing");
    this.#text.replaceChildren(make("span", "muted", "Stopped."));
  }

  /**
   * @param {unknown} error
   * @param {() => void} tryAgain
   */
  fail(error, tryAgain) {
    this.#item.classList.remove("waiting", "growing");
    this.#item.classList.add("failed");
    const words = error instanceof Problem ? wordsOf(error) : "This page failed. Load it again.";
    const problem = make("p", "problem", words);
    problem.setAttribute("role", "alert");
    const again = make("button", "again", "Try again");
    again.type = "button";
    again.addEventListener("click", () => {
      this.#item.remove();
      tryAgain();
    });
    this.#text.replaceWith(problem);
    this.#foot.replaceChildren(again);
    this.#show();
  }

  remove() {
    this.#item.remove();
  }

  /** Scrolls to it where it is not seen, as on a small screen. */
  #show() {
    this.#item.scrollIntoView({ block: "nearest" });
  }
}
