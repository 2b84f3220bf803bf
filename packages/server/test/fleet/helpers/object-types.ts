/** Checks Kubernetes objects by the TypeScript compiler, which finds misspelt fields as well: as literals they may have no others. */
import { join } from "node:path";
import ts from "typescript";
import { root } from "../../service/helpers/server-process.js";

/** What an object is checked by: the interface, and the module that has it. */
interface ObjectType {
  readonly name: string;
  readonly module: string;
}

/** An object of a type that no module has is given its type as text. */
export interface TypedObject {
  readonly value: unknown;
  readonly declarations: string;
  readonly type: string;
}

/** Names the type of an object of Kubernetes' or KEDA's by its apiVersion and kind. */
export function typed(value: unknown): TypedObject {
  const { name, module } = typeOf(value);
  return { value, declarations: `import type { ${name} } from ${JSON.stringify(module)};`, type: name };
}

function typeOf(value: unknown): ObjectType {
  if (typeof value !== "object" || value === null || !("apiVersion" in value) || !("kind" in value))
    throw new Error(`no Kubernetes object: ${JSON.stringify(value)}`);
  const { apiVersion, kind } = value;
  const models = String(apiVersion).startsWith("keda.sh/") ? "@kubernetes-models/keda" : "kubernetes-models";
  return { name: `I${kind}`, module: `${models}/${apiVersion}` };
}

const OPTIONS: ts.CompilerOptions = {
  ...{ strict: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022 },
  ...{ module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
};

/** What the compiler says of objects. */
export function mistakesIn(objects: readonly TypedObject[]): string[] {
  // Where imports are found as from any other test; nothing is written.
  const nameOf = (index: number) => join(root, "packages/server/test/fleet", `object-${index}.ts`);
  const texts = new Map(
    objects.map(({ value, declarations, type }, index) => [
      nameOf(index),
      `${declarations}\nexport const object: ${type} = ${JSON.stringify(value, undefined, 2)};\n`,
    ]),
  );
  const host = ts.createCompilerHost(OPTIONS);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => texts.has(name) || fileExists(name);
  host.readFile = (name) => texts.get(name) ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const text = texts.get(name);
    return text === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, text, version);
  };
  const program = ts.createProgram([...texts.keys()], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}
