import { open } from "node:fs/promises";

/** What a shared library says of itself, without being loaded. */
export interface SharedLibrary {
  /** As Node names it: "x64", "arm64", or the number in the file. */
  readonly arch: string;
  /** The value of _GLIBCXX_USE_CXX11_ABI that its use of torch shows; undefined where it shows none. */
  readonly cxx11Abi: 0 | 1 | undefined;
  /** The newest glibc that it asks for, such as "2.35". */
  readonly glibc: string | undefined;
}

const ARCHES: Readonly<Record<number, string>> = { 62: "x64", 183: "arm64" };
const STRING_TABLE = 3;
const LOADED = 2n;

/**
 * Reads a shared library's names of symbols and versions.
 * @throws Error where the file is no 64-bit ELF library.
 */
export async function readSharedLibrary(path: string): Promise<SharedLibrary> {
  const file = await open(path);
  try {
    const read = async (position: number, length: number) => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
      if (bytesRead < length) throw new Error("it is cut short");
      return buffer;
    };
    const { size } = await file.stat();
    if (size < 64) throw new Error(`it has ${size} bytes, and is no shared library`);
    const header = await read(0, 64);
    if (header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") throw new Error("it is no 64-bit ELF library");
    const machine = header.readUInt16LE(18);
    const sections = await read(
      Number(header.readBigUInt64LE(40)),
      header.readUInt16LE(58) * header.readUInt16LE(60), // the size of a section's entry, and how many
    );
    let names = "";
    for (let at = 0; at + 64 <= sections.length; at += 64) {
      const isDynamic =
        sections.readUInt32LE(at + 4) === STRING_TABLE && (sections.readBigUInt64LE(at + 8) & LOADED) !== 0n;
      if (!isDynamic) continue;
      const [from, length] = [sections.readBigUInt64LE(at + 24), sections.readBigUInt64LE(at + 32)];
      if (from + length > BigInt(size)) throw new Error("it is cut short");
      names += (await read(Number(from), Number(length))).toString("latin1");
    }
    const symbols = names.split("\0");
    return { arch: ARCHES[machine] ?? `machine ${machine}`, cxx11Abi: abiOf(symbols), glibc: glibcOf(symbols) };
  } finally {
    await file.close();
  }
}

/** std::string has another name in each ABI; only where torch's own functions take one does it matter. */
function abiOf(symbols: readonly string[]): 0 | 1 | undefined {
  const torch = symbols.filter((name) => /^_ZN\w*(3c10|5torch|2at)/.test(name));
  if (torch.some((name) => name.includes("NSt7__cxx1112basic_string"))) return 1;
  return torch.some((name) => /(RK|E|P|v)Ss/.test(name)) ? 0 : undefined;
}

function glibcOf(symbols: readonly string[]): string | undefined {
  const minors = symbols.flatMap((name) => /^GLIBC_2\.(\d+)(\.\d+)?$/.exec(name)?.[1] ?? []).map(Number);
  return minors.length === 0 ? undefined : `2.${Math.max(...minors)}`;
}
