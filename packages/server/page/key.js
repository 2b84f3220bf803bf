import { byId } from "./elements.js";

const form = byId("key-form", HTMLFormElement);
const field = byId("key", HTMLInputElement);
const problem = byId("key-problem", HTMLElement);

/**
 * Asks for the server's key.
 * @param {string} why what is wrong with the one that was given, if any was
 * @param {(key: string) => void} whenGiven
 */
export function askForKey(why, whenGiven) {
  form.hidden = false;
  problem.textContent = why;
  field.value = "";
  field.focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    const key = field.value.trim();
    // Headers have nothing else in them.
    if (!/^[\x21-\x7e]+$/.test(key)) {
      problem.textContent = "A key has letters, digits and signs, without spaces.";
      return;
    }
    form.hidden = true;
    whenGiven(key);
  };
}
