import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Decoder } from "../dist/processing/decoder.js";
import { fixture } from "./helpers.ts";

const PIXELS = 45 * 33;
const tiff = () => new Uint8Array(readFileSync(join(fixture("pictures"), "lzw.tiff")));

describe("Decoder", () => {
  it("gives up on a picture that its decoder does not come to an end with, and decodes the next", async () => {
    // Without the code that every LZW stream begins with, the decoder goes round in circles.
    const damaged = tiff();
    damaged[8] = 42;
    const decoder = new Decoder(() => 3000);
    const first = decoder.decode(damaged, PIXELS, PIXELS);
    const second = decoder.decode(tiff(), PIXELS, PIXELS);
    await assert.rejects(first, /did not come to an end in 3 s/);
    assert.equal((await second).width, 45);
  });

  it("takes the file for itself", async () => {
    const file = tiff();
    const decoding = new Decoder().decode(file, PIXELS, PIXELS);
    assert.equal((await decoding).data.length, PIXELS * 4);
    assert.equal(file.length, 0);
  });
});
