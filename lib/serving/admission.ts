import { NeuronBlipError } from "../errors.js";

/** A call that was admitted. */
export interface Ticket {
  /** Whether its rows will be with the queue in a moment: neither begun nor deferred. */
  readonly isComing: boolean;
  /** Says that its rows will take longer: a picture is decoded before. Others need not wait for it. */
  defer(): void;
  /** Says that a replica has begun with the call: it waits no longer. */
  begin(): void;
}

/** Counts the calls that wait to be begun, and refuses more than a number of them. */
export class Admission {
  /** How many calls may wait. */
  readonly most: number;
  #waiting = 0;
  #coming = 0;
  #running = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** How many calls were admitted that no replica has begun with. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many calls a replica has begun with that have not ended. */
  get running(): number {
    return this.#running;
  }

  /** How many of the waiting will have rows for the queue in a moment. */
  get coming(): number {
    return this.#coming;
  }

  /**
   * Runs a call, which waits until its ticket begins or it ends.
   * @throws NeuronBlipError `QUEUE_FULL`.
   */
  async admit<T>(call: (ticket: Ticket) => Promise<T>): Promise<T> {
    if (this.#waiting >= this.most) {
      throw new NeuronBlipError(
        "QUEUE_FULL",
        `${this.#waiting} calls are waiting already, as many as maxQueueLength allows. Try again later, ask less at a time, or ` +
          "load the model with a larger maxQueueLength or more replicas.",
      );
    }
    this.#waiting++;
    this.#coming++;
    let begun = false;
    const ticket = {
      isComing: true,
      defer: () => {
        if (ticket.isComing) this.#coming--;
        ticket.isComing = false;
      },
      begin: () => {
        ticket.defer();
        if (begun) return;
        begun = true;
        this.#waiting--;
        this.#running++;
      },
    };
    try {
      return await call(ticket);
    } finally {
      ticket.begin();
      this.#running--;
    }
  }
}
