import { EventEmitter } from "node:events";

/**
 * Node's EventEmitter with typed events, said so that its declaration needs no types of Node's.
 * @typeParam Events the arguments of each event's listeners.
 */
export interface TypedEmitter<Events extends { [Name in keyof Events]: unknown[] }> {
  on<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  once<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  off<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  addListener<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  removeListener<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  prependListener<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  prependOnceListener<Name extends keyof Events>(eventName: Name, listener: (...args: Events[Name]) => void): this;
  removeAllListeners(eventName?: keyof Events): this;
  emit<Name extends keyof Events>(eventName: Name, ...args: Events[Name]): boolean;
  // What follows is as Node's types have it, so that node:events takes it for an emitter.
  // biome-ignore lint/complexity/noBannedTypes: Node's own type of listeners
  listeners(eventName: keyof Events): Function[];
  // biome-ignore lint/complexity/noBannedTypes: as above
  rawListeners(eventName: keyof Events): Function[];
  // biome-ignore lint/complexity/noBannedTypes: as above
  listenerCount(eventName: keyof Events, listener?: Function): number;
  eventNames(): (string | symbol)[];
  getMaxListeners(): number;
  setMaxListeners(n: number): this;
}

/** Returns the class to extend. */
export function emitterOf<Events extends { [Name in keyof Events]: unknown[] }>(): new () => TypedEmitter<Events> {
  return EventEmitter as unknown as new () => TypedEmitter<Events>;
}
