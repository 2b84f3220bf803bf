/** The programs that the tests of the service and of the fleet run. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The programs, and Debian's packages that have them. */
const PACKAGES = {
  haproxy: "haproxy",
  nginx: "nginx-light",
  promtool: "prometheus",
  chromium: "chromium",
  "redis-server": "redis-server",
  "nats-server": "nats-server",
  podman: "podman",
  runc: "runc",
  debootstrap: "debootstrap",
  kubectl: "kubernetes-client",
};

export type Program = keyof typeof PACKAGES;

/** Debian has some of them where only root's PATH looks. */
const DIRECTORIES = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

function find(program: Program): string | undefined {
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

/** Names what to install where a program is missing, and ends the run. */
export function needPrograms(script: string, programs: readonly Program[]): void {
  const missing = programs.filter((program) => find(program) === undefined);
  if (missing.length > 0) {
    const packages = missing.map((program) => PACKAGES[program]).join(" ");
    console.error(`${script} needs ${missing.join(", ")}: apt-get install ${packages}`);
    process.exit(1);
  }
  if (process.platform !== "linux") {
    console.error(`${script} reads /proc: it needs Linux.`);
    process.exit(1);
  }
}
