/** Headless Chromium, driven by its DevTools protocol over a pipe. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { ProtocolMapping } from "devtools-protocol/types/protocol-mapping.js";

type Commands = ProtocolMapping.Commands;
type Events = ProtocolMapping.Events;

/** What Chromium writes: the reply to a command, or an event. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Chromium implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #commands: Writable;
  readonly #profile: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(message: Message) => void>();
  #lastId = 0;
  #rest = "";

  /** @throws where there is none, with what to install. */
  constructor() {
    const program = findChromium();
    this.#profile = mkdtempSync(join(tmpdir(), "neuron-blip-chromium-"));
    this.#process = spawn(
      program,
      [
        ...[
          "--headless",
          "--no-sandbox",
          "--disable-gpu",
          "--disable-dev-shm-usage",
          "--window-size=1280,900",
          "--remote-debugging-pipe",
        ],
        // What a browser asks its maker for by itself.
        ...["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...[`--user-data-dir=${this.#profile}`, "about:blank"],
      ],
      // In a group of its own, whose every process ends with it; where this process is ended, the closed pipe ends them.
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true },
    );
    this.#commands = this.#process.stdio[3] as Writable;
    (this.#process.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.#process.once("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("Chromium ended"));
    });
  }

  /** Opens a tab with storage of its own. */
  async open(): Promise<Tab> {
    const { browserContextId } = await this.send("Target.createBrowserContext", [{}]);
    const { targetId } = await this.send("Target.createTarget", [{ url: "about:blank", browserContextId }]);
    const { sessionId } = await this.send("Target.attachToTarget", [{ targetId, flatten: true }]);
    return Tab.open(this, sessionId, browserContextId);
  }

  send<C extends keyof Commands>(
    method: C,
    [params]: Commands[C]["paramsType"],
    sessionId?: string,
  ): Promise<Commands[C]["returnType"]> {
    const id = ++this.#lastId;
    const reply = new Promise<Commands[C]["returnType"]>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
    });
    this.#commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return reply;
  }

  listen(listener: (message: Message) => void): void {
    this.#listeners.add(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      const ended = once(this.#process, "exit");
      process.kill(-pid, "SIGKILL");
      await ended;
    }
    // Its other processes may write until they have ended, too.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 10 });
  }

  #read(text: string): void {
    const messages = (this.#rest + text).split("\0");
    this.#rest = messages.pop() ?? "";
    for (const message of messages) this.#take(JSON.parse(message));
  }

  #take(message: Message): void {
    const { id, method, result, error } = message;
    if (id === undefined) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(`${method ?? "Chromium"}: ${error.message}`));
    else waiting?.resolve(result);
  }
}

/** A tab, which notes what it asks of the network and what goes wrong in it. */
export class Tab {
  /** The URLs of all requests. */
  readonly requests: string[] = [];
  /** Errors and warnings of the console, and what was thrown and not caught. */
  readonly complaints: string[] = [];
  readonly #browser: Chromium;
  readonly #session: string;
  readonly #context: string;

  private constructor(browser: Chromium, session: string, context: string) {
    this.#browser = browser;
    this.#session = session;
    this.#context = context;
    this.on("Network.requestWillBeSent", ({ request }) => this.requests.push(request.url));
    this.on("Runtime.exceptionThrown", ({ exceptionDetails: { text, exception } }) => {
      this.complaints.push(exception?.description ?? text);
    });
    this.on("Runtime.consoleAPICalled", ({ type, args }) => {
      if (type === "error" || type === "warning") this.complaints.push(args.map(({ value }) => value).join(" "));
    });
    this.on("Log.entryAdded", ({ entry: { level, text } }) => {
      if (level === "error" || level === "warning") this.complaints.push(text);
    });
  }

  static async open(browser: Chromium, session: string, context: string): Promise<Tab> {
    const tab = new Tab(browser, session, context);
    for (const domain of ["Page", "Runtime", "Log", "DOM", "Network"] as const) await tab.send(`${domain}.enable`);
    // Tabs that are not in front have no focus else.
    await tab.send("Emulation.setFocusEmulationEnabled", { enabled: true });
    return tab;
  }

  /** Closes it, with its connections and its storage. */
  async close(): Promise<void> {
    await this.#browser.send("Target.disposeBrowserContext", [{ browserContextId: this.#context }]);
  }

  send<C extends keyof Commands>(method: C, ...params: Commands[C]["paramsType"]): Promise<Commands[C]["returnType"]> {
    return this.#browser.send(method, params, this.#session);
  }

  on<E extends keyof Events>(event: E, listener: (params: Events[E][0]) => void): void {
    this.#browser.listen(({ method, sessionId, params }) => {
      if (method === event && sessionId === this.#session) listener(params as Events[E][0]);
    });
  }

  once<E extends keyof Events>(event: E): Promise<Events[E][0]> {
    return new Promise((resolve) => this.on(event, resolve));
  }

  async goTo(url: string): Promise<void> {
    const loaded = this.once("Page.loadEventFired");
    await this.send("Page.navigate", { url });
    await loaded;
  }

  /** The value of a JavaScript expression, also of a promise. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  }

  /** Waits until an expression is true: looked at whenever the page changes. */
  async until(expression: string): Promise<void> {
    await this.evaluate(`new Promise((resolve) => {
      const look = () => { if (${expression}) { observer.disconnect(); resolve(); } };
      const observer = new MutationObserver(look);
      observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      look();
    })`);
  }

  /** Presses a key, such as "Tab", "Enter" or "a". */
  async press(key: string): Promise<void> {
    const text = key === "Enter" ? "\r" : key.length === 1 ? key : "";
    const windowsVirtualKeyCode = { Tab: 9, Enter: 13 }[key] ?? 0;
    const event = { key, code: key, windowsVirtualKeyCode, ...(text && { text }) };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async type(text: string): Promise<void> {
    await this.send("Input.insertText", { text });
  }

  async click(selector: string): Promise<void> {
    const [x, y] = await this.middleOf(selector);
    for (const type of ["mousePressed", "mouseReleased"] as const) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  /** Drops a file of the disk where an element is. */
  async drop(selector: string, file: string): Promise<void> {
    const [x, y] = await this.middleOf(selector);
    const data = { items: [], files: [file], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      await this.send("Input.dispatchDragEvent", { type, x, y, data });
    }
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  middleOf(selector: string): Promise<[number, number]> {
    return this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return [x + width / 2, y + height / 2];
    })()`);
  }
}

function findChromium(): string {
  for (const directory of (process.env.PATH ?? "").split(delimiter).filter((name) => name !== "")) {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {}
    }
  }
  throw new Error("chromium is missing: apt-get install chromium");
}
