// Resizes the computed pictures of image-goldens.json, and prints the digests.
import { readFileSync } from "node:fs";
import { fixture } from "../helpers.ts";
import { computedPixels, resize, type Size, sha256 } from "../images/pixels.ts";

const { small, large }: Record<string, { source: Size; target: Size }[]> = JSON.parse(
  readFileSync(fixture("image-goldens.json"), "utf8"),
);
const digests: string[] = [];
for (const { source, target } of [...(small ?? []), ...(large ?? [])]) {
  for (const channels of [3, 4] as const) digests.push(sha256(await resize(computedPixels(source, channels), target)));
}
console.log(JSON.stringify(digests));
