/**
 * Returns an item that must be there. Not for hot loops: called from many places, it is slow.
 * @throws RangeError where it is not: whoever asks counted wrongly.
 */
export function itemAt<T>(items: ArrayLike<T>, at: number): T {
  const item = items[at];
  if (item === undefined) throw new RangeError(`There is no item ${at} among ${items.length}.`);
  return item;
}
