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

export {};
