import { NeuronBlipError, readOptions } from "../errors.js";
import { shown } from "../util/values.js";

/** Told the tokens of a sequence as they are generated, as transformers' streamers are. */
export interface Streamer {
  /** Takes the prompt's tokens first, then each generated token. */
  put(tokenIds: readonly number[]): void;
  /** Ends the sequence. Not called where generation fails or is aborted. */
  end(): void;
}

export interface TextStreamerOptions {
  /** Called with each piece of text; together they are the decoded sequence. Default: writes to standard output. */
  callbackFunction?: (text: string) => void;
  /** Called with each token's id. */
  tokenCallbackFunction?: (tokenId: number) => void;
  /** Leave the prompt out. Default false. */
  skipPrompt?: boolean;
}

/**
 * Turns tokens into text as they come, after transformers' TextStreamer: a word is passed on when the next one begins, since
 * until then it may grow.
 */
export class TextStreamer implements Streamer {
  readonly #tokenizer: { decode(tokenIds: readonly number[]): string };
  readonly #options: TextStreamerOptions;
  #tokenIds: number[] = [];
  #passedOn = 0;
  #isPrompt = true;

  /**
   * Makes a streamer.
   * @param tokenizer a BertTokenizer or BlipProcessor; its `decode` leaves special tokens out.
   * @throws NeuronBlipError `INVALID_INPUT`
   */
  constructor(tokenizer: { decode(tokenIds: readonly number[]): string }, given: TextStreamerOptions = {}) {
    const options = readOptions(given, "TextStreamer");
    if (typeof tokenizer?.decode !== "function") {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `A TextStreamer takes a BertTokenizer or BlipProcessor, which has decode, not ${shown(tokenizer)}.`,
      );
    }
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  put(tokenIds: readonly number[]): void {
    const skip = this.#isPrompt && this.#options.skipPrompt;
    this.#isPrompt = false;
    if (skip) return;
    for (const token of tokenIds) this.#options.tokenCallbackFunction?.(token);
    this.#tokenIds.push(...tokenIds);
    const text = this.#tokenizer.decode(this.#tokenIds);
    this.#passOn(text.slice(0, lastWordStart(text)));
  }

  end(): void {
    this.#passOn(this.#tokenizer.decode(this.#tokenIds));
    this.#tokenIds = [];
    this.#passedOn = 0;
    this.#isPrompt = true;
  }

  #passOn(text: string): void {
    if (text.length <= this.#passedOn) return;
    const piece = text.slice(this.#passedOn);
    this.#passedOn = text.length;
    if (this.#options.callbackFunction) this.#options.callbackFunction(piece);
    else process.stdout.write(piece);
  }
}

/** Finds where the last word begins. An apostrophe is part of the word before: with the letter after, the three become one. */
function lastWordStart(text: string): number {
  const start = text.lastIndexOf(" ") + 1;
  return text.slice(start) === "'" ? text.lastIndexOf(" ", start - 2) + 1 : start;
}
