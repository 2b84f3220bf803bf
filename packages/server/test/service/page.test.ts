// The page at / in a browser, as people use it. SCREENSHOTS=DIR keeps what it looked like.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NeuronBlip } from "neuron-blip";
import { demo, demoQuestions, fixture } from "../../../../test/helpers.js";
import type { BlipServer, ServerOptions } from "../../dist/index.js";
import { loadModel, serverOf } from "../server-test.ts";
import { Chromium, type Tab } from "./helpers/chromium.ts";

const PICTURE = "pictures/square-and-circle.png";
const file = join(demo, PICTURE);
const [first, second] = demoQuestions.filter(({ picture }) => picture === PICTURE);
assert(first && second);

const ANSWERED = 'document.querySelector(".answer .time")';
const textOf = (selector: string) => `document.querySelector(${JSON.stringify(selector)})?.textContent`;
/** Whether what is seen is wide enough for the contrast that WCAG's level AA asks of text, and what is not. */
const PALE = `(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    return numbers(backgroundColor)[3] === 0 ? ground(element.parentElement) : backgroundColor;
  };
  const texts = [...document.body.querySelectorAll("*")].filter((element) =>
    element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ""));
  const ratio = (element) => {
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const pale = texts.filter((element) => ratio(element) < 4.5);
  return { count: texts.length, pale: pale.map((element) => element.textContent + ": " + ratio(element)) };
})()`;

describe("the page in a browser", () => {
  let browser: Chromium;
  let blip: NeuronBlip;
  let server: BlipServer | undefined;
  let tab: Tab;
  let origin: string;
  /** What the console is expected to say: it tells of each reply that is an error. */
  let expected: readonly RegExp[];

  before(async () => {
    browser = new Chromium();
    blip = await loadModel();
  });
  after(async () => {
    await blip?.dispose();
    await browser?.[Symbol.asyncDispose]();
  });

  async function open(options: ServerOptions = {}, model = blip): Promise<void> {
    server = await serverOf(model, { modelName: "demo", ...options });
    await server.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = server.app.server.address() as AddressInfo;
    origin = `http://127.0.0.1:${port}`;
    tab = await browser.open();
    await tab.goTo(`${origin}/`);
    await tab.until(`document.getElementById("loading").hidden`);
  }

  beforeEach(() => {
    expected = [];
  });
  afterEach(async () => {
    // First: connections that a browser opens ahead of its requests would keep the server from closing for some seconds.
    await tab.close();
    await server?.app.close();
    server = undefined;
    const elsewhere = tab.requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`));
    assert.deepEqual(elsewhere, [], "requests to other hosts");
    assert(tab.requests.length >= 5);
    assert.deepEqual(
      tab.complaints.filter((text) => !expected.some((pattern) => pattern.test(text))),
      [],
      "complaints of the console",
    );
  });

  async function keep(name: string): Promise<void> {
    const directory = process.env.SCREENSHOTS;
    if (directory) writeFileSync(join(directory, `${name}.png`), await tab.screenshot());
  }

  /** Asks by the field, and waits for the answer. */
  async function ask(question: string, answers = 1): Promise<void> {
    await tab.until(`document.activeElement.id === "text"`);
    await tab.type(question);
    await tab.press("Enter");
    await tab.until(`document.querySelectorAll(".answer .time").length === ${answers}`);
  }

  it("answers questions about a picture that is dropped on it, piece by piece, and again", async () => {
    await open();
    await keep("empty-light");
    await tab.drop("#zone", file);
    await tab.until(`document.activeElement.id === "text"`);
    assert.equal(await tab.evaluate(`document.getElementById("shown").naturalWidth > 0`), true);
    await tab.evaluate(`{
      globalThis.grown = [];
      new MutationObserver(() => {
        const text = document.querySelector(".answer.growing .text")?.textContent;
        if (text) grown.push(text);
      }).observe(document.getElementById("answers"), { subtree: true, childList: true, attributes: true, characterData: true });
    }`);
    await ask(first.question);
    assert.equal(await tab.evaluate(textOf(".answer .question")), first.question);
    assert.equal(await tab.evaluate(textOf(".answer .text")), first.answer);
    assert.match(await tab.evaluate(textOf(".answer .score")), /^score (0\.\d\d|1\.00)$/);
    assert.match(await tab.evaluate(textOf(".answer .time")), /^\d+\.\d\d s$/);
    const grown = await tab.evaluate<string[]>("grown");
    assert(grown.length > 0, "no piece was seen before the whole");
    for (const text of grown) assert(first.answer.startsWith(text.trim()), text);
    await ask(second.question, 2);
    assert.deepEqual(await tab.evaluate(`[...document.querySelectorAll(".answer .text")].map((e) => e.textContent)`), [
      second.answer,
      first.answer,
    ]);
    const sent = tab.requests.filter((url) => url.includes("/answer?"));
    assert.equal(sent.length, 2);
    await keep("answered-light");
  });

  it("takes pasted pictures, and forgets answers about the one before", async () => {
    await open();
    await tab.drop("#zone", file);
    await ask(first.question);
    const bytes = readFileSync(join(demo, "pictures/yellow-star.png")).toString("base64");
    await tab.evaluate(`{
      const bytes = Uint8Array.from(atob("${bytes}"), (c) => c.charCodeAt(0));
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([bytes], "star.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }`);
    await tab.until(`document.querySelectorAll(".answer").length === 0`);
    assert.match(await tab.evaluate(`document.getElementById("shown").alt`), /star\.png/);
    await tab.click(".chip");
    await tab.until(ANSWERED);
    assert.equal(await tab.evaluate(textOf(".answer .text")), "a yellow star");
  });

  it("can be used by the keyboard alone, and names everything to who does not see it", async () => {
    await open();
    await tab.send("Page.setInterceptFileChooserDialog", { enabled: true });
    await tab.press("Tab");
    assert.equal(await tab.evaluate("document.activeElement.id"), "choose");
    const chooser = tab.once("Page.fileChooserOpened");
    await tab.press("Enter");
    const { backendNodeId } = await chooser;
    assert(backendNodeId);
    await tab.send("DOM.setFileInputFiles", { files: [file], backendNodeId });
    await ask(first.question);
    assert.equal(await tab.evaluate(textOf(".answer .text")), first.answer);
    assert.match(await tab.evaluate(textOf("#status")), new RegExp(`^${first.answer} Score [01]\\.\\d\\d\\.$`));
    for (const expected of ["ask", "BUTTON.chip"]) {
      await tab.press("Tab");
      const focused = "document.activeElement";
      const id = await tab.evaluate(`${focused}.id || ${focused}.tagName + "." + ${focused}.className`);
      assert.equal(id, expected);
      assert.notEqual(await tab.evaluate(`getComputedStyle(${focused}).outlineStyle`), "none", "the focus is not seen");
    }
    const { nodes } = await tab.send("Accessibility.getFullAXTree");
    const controls = nodes.filter(({ role }) => ["button", "textbox", "image"].includes(String(role?.value)));
    assert(controls.length >= 5);
    for (const { role, name } of controls) assert(name?.value, `a ${role?.value} has no name`);
  });

  it("is legible in the light, in the dark, and on a narrow screen", async () => {
    await open();
    const grounds = new Set<string>();
    for (const value of ["light", "dark"]) {
      await tab.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
      await tab.goTo(`${origin}/`);
      await tab.until(`!document.getElementById("work").hidden`);
      await keep(`empty-${value}`);
      await tab.drop("#zone", file);
      await ask(first.question);
      await keep(`answered-${value}`);
      const { count, pale } = await tab.evaluate<{ count: number; pale: string[] }>(PALE);
      assert(count > 10);
      assert.deepEqual(pale, [], value);
      grounds.add(await tab.evaluate("getComputedStyle(document.body).backgroundColor"));
    }
    assert.equal(grounds.size, 2, "the dark has a ground of its own");
    await tab.send("Emulation.setDeviceMetricsOverride", {
      width: 360,
      height: 740,
      deviceScaleFactor: 2,
      mobile: true,
    });
    await tab.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    await keep("answered-narrow");
    const edges =
      '["#zone", "#ask-form", ".answer"].map((name) => document.querySelector(name).getBoundingClientRect())';
    for (const { left, right } of await tab.evaluate<{ left: number; right: number }[]>(
      `${edges}.map((e) => e.toJSON())`,
    )) {
      assert.deepEqual([left, right], [16, 344]);
    }
    assert.equal(await tab.evaluate("document.documentElement.scrollWidth"), 360);
  });

  it("asks for the key where one is needed, again where it is wrong, and keeps it as long as the tab", async () => {
    await open({ apiKeys: ["the-right-one"] });
    expected = [/401/];
    assert.equal(await tab.evaluate("document.activeElement.id"), "key");
    await tab.type("the-wrong-one");
    await tab.press("Enter");
    await tab.until(`document.getElementById("key-problem").textContent !== ""`);
    assert.match(await tab.evaluate(textOf("#key-problem")), /not known/);
    assert.equal(await tab.evaluate("document.activeElement.id"), "key");
    await keep("key");
    await tab.type("the-right-one");
    await tab.press("Enter");
    await tab.until(`!document.getElementById("work").hidden`);
    await tab.drop("#zone", file);
    await ask(first.question);
    assert.equal(await tab.evaluate(textOf(".answer .text")), first.answer);
    await tab.goTo(`${origin}/`);
    await tab.until(`!document.getElementById("work").hidden`);
    assert.deepEqual(await tab.evaluate("[localStorage.length, document.cookie]"), [0, ""]);
    assert(!tab.requests.some((url) => url.includes("the-right-one")));
    const other = await browser.open();
    await other.goTo(`${origin}/`);
    await other.until(`!document.getElementById("key-form").hidden`);
    await other.close();
  });

  it("refuses pictures that are too large before they are sent, and files that are no pictures", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-page-"));
    try {
      writeFileSync(join(directory, "large.png"), Buffer.alloc(1_300_000));
      writeFileSync(join(directory, "notes.txt"), "no picture");
      await open({ limits: { maxBodyBytes: 1_200_000 } });
      await tab.drop("#zone", join(directory, "large.png"));
      await tab.until(`document.getElementById("picture-problem").textContent !== ""`);
      assert.match(await tab.evaluate(textOf("#picture-problem")), /1\.3 MB.* 1\.2 MB at most/);
      await keep("too-large");
      await tab.drop("#zone", join(directory, "notes.txt"));
      await tab.until(`document.getElementById("picture-problem").textContent === "notes.txt is no picture."`);
      assert.equal(await tab.evaluate(`document.getElementById("talk").hidden`), true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("says in words what went wrong, and when to try again", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-page-"));
    try {
      writeFileSync(join(directory, "broken.png"), readFileSync(file).subarray(0, 100));
      await open({ limits: { maxBytesInHand: 1000 } });
      expected = [/503/, /422/, /ERR_CONNECTION_REFUSED/];
      await tab.drop("#zone", file);
      await tab.click(".chip");
      await tab.until(`document.querySelector(".answer .problem")`);
      assert.equal(await tab.evaluate(textOf(".answer .problem")), "The server is busy. Try again in 1 second.");
      assert.equal(await tab.evaluate(textOf(".answer.failed button")), "Try again");
      await keep("busy");
      await tab.drop("#zone", join(directory, "broken.png"));
      await tab.click(".chip");
      await tab.until(`document.querySelector(".answer .problem")?.textContent.startsWith("The server cannot read")`);
      await server?.app.close();
      await tab.click(".answer.failed button");
      await tab.until(`document.querySelector(".answer .problem")?.textContent === "The server cannot be reached."`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("can be told to stop, and to try again where the server is away", async () => {
    await open();
    expected = [/ERR_FAILED/];
    await tab.send("Fetch.enable", { patterns: [{ urlPattern: "*/answer\\?*" }, { urlPattern: "*/page/settings" }] });
    await tab.drop("#zone", file);
    await tab.until(`document.activeElement.id === "text"`);
    const held = tab.once("Fetch.requestPaused");
    await tab.type("is it there?");
    await tab.press("Enter");
    await held;
    assert.equal(await tab.evaluate(textOf("#ask")), "Stop");
    assert.match(await tab.evaluate(textOf(".answer .text")), /looks at the picture/);
    await keep("waiting");
    await tab.click("#ask");
    await tab.until(`document.querySelector(".answer .text")?.textContent === "Stopped."`);
    assert.equal(await tab.evaluate(textOf("#ask")), "Ask");

    const failing = tab.once("Fetch.requestPaused");
    const loaded = tab.goTo(`${origin}/`);
    await tab.send("Fetch.failRequest", { requestId: (await failing).requestId, errorReason: "Failed" });
    await loaded;
    await tab.until(`!document.getElementById("unreachable").hidden`);
    assert.equal(await tab.evaluate(textOf("#unreachable-why")), "The server cannot be reached.");
    await keep("unreachable");
    await tab.send("Fetch.disable");
    await tab.click("#reconnect");
    await tab.until(`!document.getElementById("work").hidden`);
  });

  it("says so where an answer fails in its midst, or breaks off", async () => {
    await open();
    await tab.send("Fetch.enable", { patterns: [{ urlPattern: "*/answer\\?*" }] });
    await tab.drop("#zone", file);
    const piece = 'event: piece\ndata: {"index":0,"text":"a blue"}\n\n';
    const problem = { status: 504, code: "TIMEOUT", detail: "The request took more than 30000 ms." };
    for (const [events, words] of [
      [`${piece}event: error\ndata: ${JSON.stringify(problem)}\n\n`, "The server took too long."],
      [piece, "The answer broke off."],
    ] as const) {
      const paused = tab.once("Fetch.requestPaused");
      await tab.click(".chip");
      await tab.send("Fetch.fulfillRequest", {
        requestId: (await paused).requestId,
        responseCode: 200,
        responseHeaders: [{ name: "content-type", value: "text/event-stream; charset=utf-8" }],
        body: Buffer.from(events).toString("base64"),
      });
      await tab.until(`document.querySelector(".answer .problem")?.textContent === ${JSON.stringify(words)}`);
    }
  });

  it("describes pictures where the model does that", async () => {
    await using captioner = await loadModel({}, fixture("parity/captions/model"));
    await open({}, captioner);
    assert.equal(await tab.evaluate(textOf("h1")), "Describe a picture");
    await tab.drop("#zone", file);
    await ask("");
    const { caption } = await captioner.caption(readFileSync(file));
    assert.equal(await tab.evaluate(textOf(".answer .text")), caption);
    await keep("caption");
  });

  it("says how well texts fit where the model does that", async () => {
    await using matcher = await loadModel({}, fixture("parity/retrieval/model"));
    await open({}, matcher);
    await tab.drop("#zone", file);
    await ask("a blue square");
    const { score } = (await matcher.match(readFileSync(file), ["a blue square"]))[0] ?? { score: Number.NaN };
    assert.equal(await tab.evaluate(textOf(".answer .text")), score.toFixed(2));
    await keep("match");
  });
});
