/** Looks for the programs that these tests run; where one is missing it names what to install, and the run fails. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The programs, and Debian's packages that have them. */
const PACKAGES = { haproxy: "haproxy", nginx: "nginx-light", promtool: "prometheus", chromium: "chromium" };

export type Program = keyof typeof PACKAGES;

/** Debian has some of them where only root's PATH looks. */
const DIRECTORIES = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

function find(program: string): string | undefined {
  return DIRECTORIES.filter((directory) => directory !== "")
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** A program's path. */
export function pathOf(program: Program): string {
  const path = find(program);
  if (path === undefined) throw new Error(`${program} is missing: apt-get install ${PACKAGES[program]}`);
  return path;
}

const missing = Object.entries(PACKAGES).filter(([program]) => find(program) === undefined);
if (missing.length > 0) {
  const packages = missing.map(([, name]) => name).join(" ");
  console.error(`test:service needs ${missing.map(([program]) => program).join(", ")}: apt-get install ${packages}`);
  process.exit(1);
}
if (process.platform !== "linux") {
  console.error("test:service reads memory, descriptors and CPU time from /proc: it needs Linux.");
  process.exit(1);
}
