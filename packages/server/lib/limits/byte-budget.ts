import { Problem } from "../problem.js";

/** Counts the bytes of bodies that the server has in hand, and refuses more than so many. */
export class ByteBudget {
  readonly most: number;
  #taken = 0;

  constructor(most: number) {
    this.most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Checks that there is room. @throws Problem `BUSY` where so many bytes would be too many. */
  checkRoom(bytes: number): void {
    if (this.#taken + bytes <= this.most) return;
    throw new Problem("BUSY", "The server has too many bodies in hand. Try again later.");
  }

  /** Begins a share, for one request. */
  share(): ByteShare {
    let held = 0;
    let ended = false;
    return {
      take: (bytes) => {
        if (ended) throw new Problem("ABORTED", "The request has ended.");
        this.checkRoom(bytes);
        this.#taken += bytes;
        held += bytes;
      },
      end: () => {
        ended = true;
        this.#taken -= held;
        held = 0;
      },
    };
  }
}

/** What one request has in hand. */
export interface ByteShare {
  /** Takes more bytes. @throws Problem `BUSY`, or `ABORTED` after the end: who reads on for nobody stops. */
  take(bytes: number): void;
  /** Gives all back. */
  end(): void;
}
