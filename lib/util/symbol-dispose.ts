/**
 * Gives a context the symbols that it lacks: Node 20 has Symbol.dispose and Symbol.asyncDispose of its own, but not in the vm
 * contexts that test runners make, where `using` and classes with such methods would fail. They are Node's very symbols.
 */
const symbols = Symbol as { dispose?: symbol; asyncDispose?: symbol };
for (const name of ["dispose", "asyncDispose"] as const) {
  if (symbols[name] === undefined) {
    Object.defineProperty(Symbol, name, { value: Symbol.for(`nodejs.${name}`), configurable: false, writable: false });
  }
}

declare global {
  // Names that this package's declarations use, for programs with neither the DOM's types nor Node's; with either, they are theirs.
  interface AbortSignal {
    readonly aborted: boolean;
  }
  interface URL {
    href: string;
  }
}

export {};
