import { NeuronBlipError } from "../errors.js";

/** Counts the calls that wait to be begun, and refuses more than a number of them. */
export class WaitingLine {
  readonly #most: number;
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * @param call gets what says that it has begun; it is out of the line then, and when it ends.
   * @throws NeuronBlipError `QUEUE_FULL`.
   */
  async stand<T>(call: (begin: () => void) => Promise<T>): Promise<T> {
    if (this.#length >= this.#most) {
      throw new NeuronBlipError(
        "QUEUE_FULL",
        `${this.#length} calls are waiting already, as many as maxQueueLength allows. Try again later, ask less at a time, or ` +
          "load the model with a larger maxQueueLength or more replicas.",
      );
    }
    this.#length++;
    let waits = true;
    const begin = () => {
      if (waits) this.#length--;
      waits = false;
    };
    try {
      return await call(begin);
    } finally {
      begin();
    }
  }
}
