import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fixture } from "./helpers.js";

describe("the examples", () => {
  it("run a TorchScript classifier on a picture, with the logits that Python gets", () => {
    const example = fileURLToPath(new URL("../examples/torch-module.mjs", import.meta.url));
    const args = [example, fixture("modules/resnet.pt"), fixture("pictures/coffee.png")];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    // From torch 2.13.0 with Pillow's resize, rounded.
    assert.match(
      stdout,
      /inputs: pixels: Tensor\nclass 2: logit 0\.369\nclass 0: logit 0\.322\nclass 9: logit 0\.180\n/,
    );
  });
});
