import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Semaphore } from "../../dist/util/concurrency.js";
import { fails } from "../helpers.js";

/** Acquires, and says so in a list. */
function acquiring(semaphore: Semaphore, order: string[]) {
  return async (name: string, count = 1, signal?: AbortSignal) => {
    const release = await semaphore.acquire(count, signal);
    order.push(name);
    return release;
  };
}

describe("a semaphore", () => {
  it("lets in as many as it has permits, the first come first, those who need several all at once", async () => {
    const order: string[] = [];
    const acquire = acquiring(new Semaphore(3), order);
    const [a, b] = await Promise.all([acquire("a", 2), acquire("b")]);
    const several = acquire("c", 2);
    const late = acquire("d");
    b();
    await nextTurn();
    assert.deepEqual(order, ["a", "b"], "one permit is free, and the first in line needs two");
    a();
    const [c, d] = await Promise.all([several, late]);
    assert.deepEqual(order, ["a", "b", "c", "d"]);
    c();
    d();
  });

  it("lets in more at once when it gets more permits, and fewer when it has fewer", async () => {
    const order: string[] = [];
    const semaphore = new Semaphore(1);
    const acquire = acquiring(semaphore, order);
    const a = await acquire("a");
    const [b, c] = [acquire("b"), acquire("c")];
    await nextTurn();
    assert.deepEqual(order, ["a"]);
    semaphore.resize(2);
    const releaseB = await b;
    assert.deepEqual(order, ["a", "b"]);
    semaphore.resize(1);
    a();
    await nextTurn();
    assert.deepEqual(order, ["a", "b"], "the one permit is still held");
    releaseB();
    (await c)();
  });

  it("counts what is more than all as all, and a permit given back twice once", async () => {
    const order: string[] = [];
    const acquire = acquiring(new Semaphore(2), order);
    const all = await acquire("all", 5);
    const [one, two] = [acquire("one"), acquire("two", 2)];
    all();
    all();
    const release = await one;
    await nextTurn();
    assert.deepEqual(order, ["all", "one"]);
    release();
    (await two)();
    await (await acquire("last", 2))();
    assert.deepEqual(order, ["all", "one", "two", "last"]);
  });

  it("lets in at once who needs none", async () => {
    const acquire = acquiring(new Semaphore(1), []);
    const held = await acquire("held");
    const waiting = acquire("waiting");
    (await acquire("none", 0))();
    held();
    (await waiting)();
  });

  it("lets those behind one that is aborted pass, and loses no permit", async () => {
    const order: string[] = [];
    const acquire = acquiring(new Semaphore(2), order);
    const first = await acquire("first");
    const stop = new AbortController();
    const gone = acquire("gone", 2, stop.signal);
    const behind = acquire("behind");
    await nextTurn();
    assert.deepEqual(order, ["first"]);
    stop.abort();
    await assert.rejects(gone, fails("ABORTED"));
    (await behind)();
    first();
    await assert.rejects(acquire("never", 1, AbortSignal.abort()), fails("ABORTED"));
    await acquire("both", 2);
    assert.deepEqual(order, ["first", "behind", "both"]);
  });
});
