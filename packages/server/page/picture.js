import { announce, byId } from "./elements.js";

const zone = byId("zone", HTMLElement);
const empty = byId("empty", HTMLElement);
const figure = byId("figure", HTMLElement);
const shown = byId("shown", HTMLImageElement);
const shownName = byId("shown-name", HTMLElement);
const problem = byId("picture-problem", HTMLElement);
const choose = byId("choose", HTMLButtonElement);
const file = byId("file", HTMLInputElement);
const camera = byId("camera", HTMLInputElement);

/**
 * Takes pictures that are chosen, photographed, pasted or dropped anywhere on the page.
 * @param {() => number | undefined} maxBytes how large one may be; undefined while none is taken
 * @param {(picture: File) => void} whenChosen
 */
export function takePictures(maxBytes, whenChosen) {
  /** @param {File | undefined} picture */
  const take = (picture) => {
    const most = maxBytes();
    if (picture === undefined || most === undefined) return;
    problem.textContent = whyNot(picture, most) ?? "";
    if (problem.textContent !== "") return;
    show(picture);
    whenChosen(picture);
  };
  choose.addEventListener("click", () => file.click());
  byId("photograph", HTMLButtonElement).addEventListener("click", () => camera.click());
  for (const input of [file, camera]) {
    input.addEventListener("change", () => {
      take(input.files?.[0]);
      input.value = ""; // the same file may be chosen again
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData?.files[0]));
  takeDropped(take);
}

/** @param {(picture: File) => void} take */
function takeDropped(take) {
  let inside = 0;
  /** @param {number} count of the elements that a file is held over */
  const heldOver = (count) => {
    inside = count;
    zone.classList.toggle("held-over", inside > 0);
  };
  document.addEventListener("dragenter", () => heldOver(inside + 1));
  document.addEventListener("dragleave", () => heldOver(inside - 1));
  // Without this the browser would open the file instead of the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    heldOver(0);
    const dropped = event.dataTransfer?.files[0];
    if (dropped) take(dropped);
    else problem.textContent = "That was no file. Save the picture first, or copy and paste it.";
  });
}

/**
 * @param {File} picture
 * @param {number} most
 */
function whyNot({ name, type, size }, most) {
  if (size === 0) return `${name || "This file"} is empty.`;
  // What the browser does not know has no type: the server may know it.
  if (type !== "" && !type.startsWith("image/")) return `${name || "This file"} is no picture.`;
  if (size <= most) return undefined;
  return `This picture has ${megabytes(size, Math.ceil)} MB, and the server takes ${megabytes(most, Math.floor)} MB at most. Choose a smaller one.`;
}

/** @param {File} picture */
function show(picture) {
  URL.revokeObjectURL(shown.src);
  const name = picture.name || "pasted picture";
  shown.src = URL.createObjectURL(picture);
  shown.alt = `Your picture, ${name}`;
  const size = picture.size < 1e6 ? `${Math.ceil(picture.size / 1000)} KB` : `${megabytes(picture.size, Math.ceil)} MB`;
  shownName.textContent = `${name} · ${size}`;
  empty.hidden = true;
  figure.hidden = false;
  choose.textContent = "Choose another";
  choose.classList.remove("primary");
  announce(`${name} is chosen.`);
}

/**
 * @param {number} bytes
 * @param {(value: number) => number} round
 */
function megabytes(bytes, round) {
  return round(bytes / 1e5) / 10;
}
