// Says what `npm test` leaves to CI: the other steps of .ci/run.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const slow = readdirSync(join(root, "test", "slow")).flatMap((name) => /^(.+)\.test\.ts$/.exec(name)?.[1] ?? []);

console.log("These are left to CI, which runs .ci/run:");
for (const [, step] of readFileSync(join(root, ".ci", "run"), "utf8").matchAll(/^step (npm run .+)$/gm)) {
  console.log(`  ${step}${step === "npm run test:slow" ? ` (${slow.join(", ")})` : ""}`);
}
