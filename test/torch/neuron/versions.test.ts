// The versions of AWS Neuron have one place, scripts/compile/neuron-versions.json: what people read must say the same.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { aptInstall, sdkVersions } from "../../../dist/torch/neuron/sdk-versions.js";

const SDK = sdkVersions();

const root = fileURLToPath(new URL("../../..", import.meta.url));
const read = (file: string) => readFileSync(join(root, file), "utf8");

/** Every file that tells people what to install. */
const FILES = [
  "README.md",
  "docs/inferentia.md",
  "deploy/inf2/Dockerfile",
  "examples/inf2/neuron-blip.service",
  "scripts/compile/trace.py",
  "scripts/compile/requirements.txt",
  ...readdirSync(join(root, "scripts/compile/neuron_blip_compile"))
    .filter((name) => name.endsWith(".py"))
    .map((name) => `scripts/compile/neuron_blip_compile/${name}`),
];

describe("the versions of AWS Neuron", () => {
  it("are all in the instructions for Inf2", () => {
    const instructions = read("docs/inferentia.md").replaceAll(/\s+/g, " ");
    for (const [name, version] of Object.entries(SDK.pip)) assert(instructions.includes(`${name}==${version}`), name);
    for (const [name, version] of Object.entries(SDK.apt)) assert(instructions.includes(`${name}=${version}`), name);
    for (const words of [
      `the Neuron SDK to use is ${SDK.sdk}`,
      `torch ${SDK.torch}, glibc ${SDK.glibc} or newer: Ubuntu ${SDK.systems.join(" and ")}`,
      `${SDK.newer_torch}.`,
      `"${SDK.image}" of ${SDK.image_dates.join(" or ")}`,
      `source ${SDK.environment}/bin/activate`,
    ]) {
      assert(instructions.includes(words), words);
    }
  });

  it("are the same wherever a package is named with one", () => {
    for (const file of FILES) {
      const text = read(file);
      for (const [found, name, version] of text.matchAll(/\b(torch-neuronx|neuronx-cc)==([\w.*]*\d[\w.*]*)/g)) {
        assert.equal(version, SDK.pip[name as keyof typeof SDK.pip], `${file}: ${found}`);
      }
      for (const [found, name, version] of text.matchAll(/\b(aws-neuronx-[a-z-]+)=([\d][\w.*]*)/g)) {
        assert.equal(version, SDK.apt[name as keyof typeof SDK.apt], `${file}: ${found}`);
      }
      for (const [found, sdk] of text.matchAll(/\bSDK (\d+\.\d+)/g)) {
        if (sdk !== "2.27") assert.equal(sdk, SDK.sdk, `${file}: ${found}`); // of 2.27 is told what it changed
      }
      for (const [environment] of text.matchAll(/\/opt\/aws_neuronx_venv_pytorch_\d+_\d+/g)) {
        assert.equal(environment, SDK.environment, file);
      }
    }
  });

  it("are the Dockerfile's arguments", () => {
    const dockerfile = read("deploy/inf2/Dockerfile");
    const args = Object.fromEntries(
      Array.from(dockerfile.matchAll(/^ARG (\w+)=(.+)$/gm), ([, name, value]) => [name, value]),
    );
    const { RUNTIME_LIB, TOOLS, TORCH_NEURONX } = args;
    assert.deepEqual(
      { RUNTIME_LIB, TOOLS, TORCH_NEURONX },
      {
        RUNTIME_LIB: SDK.apt["aws-neuronx-runtime-lib"],
        TOOLS: SDK.apt["aws-neuronx-tools"],
        TORCH_NEURONX: SDK.pip["torch-neuronx"],
      },
    );
    for (const use of [
      "aws-neuronx-runtime-lib=$RUNTIME_LIB",
      "aws-neuronx-tools=$TOOLS",
      "torch-neuronx==$TORCH_NEURONX",
    ]) {
      assert(dockerfile.includes(use), use);
    }
  });

  it("are what the doctor's cures install", () => {
    assert.equal(
      aptInstall("aws-neuronx-dkms", "aws-neuronx-tools"),
      `sudo apt-get install aws-neuronx-dkms=${SDK.apt["aws-neuronx-dkms"]} aws-neuronx-tools=${SDK.apt["aws-neuronx-tools"]}`,
    );
  });
});
