import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlipImageProcessor } from "neuron-blip";
import { fails, fixture } from "../helpers.ts";
import { computedPixels, type Size, sha256 } from "../images/pixels.ts";

interface Golden {
  config: object;
  source: Size;
  shape: number[];
  sha256: string;
}

const goldens: Golden[] = JSON.parse(readFileSync(fixture("image-goldens.json"), "utf8")).geometry;

describe("BlipImageProcessor.fromPretrained", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "neuron-blip-geometry-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const write = (name: string, json: unknown) => writeFile(join(directory, name), JSON.stringify(json));
  const load = async (config: object) => {
    await write("preprocessor_config.json", config);
    return BlipImageProcessor.fromPretrained(directory);
  };

  it("resizes, crops and pads as transformers does on Pillow, bit for bit", async () => {
    assert(goldens.length >= 70);
    for (const { config, source, shape, sha256: expected } of goldens) {
      const processor = await load(config);
      const pixelValues = await processor.preprocess(computedPixels(source));
      assert.deepEqual(pixelValues.shape, [1, ...shape], JSON.stringify(config));
      assert.equal(sha256(pixelValues.data), expected, `${JSON.stringify(config)} of ${source}`);
    }
  });

  it("takes transformers 5's processor_config.json before preprocessor_config.json, where it has settings of pictures", async () => {
    const size = (edge: number) => ({
      size: { height: edge, width: edge },
      image_processor_type: "BlipImageProcessor",
    });
    await write("processor_config.json", { image_processor: size(20), processor_class: "BlipProcessor" });
    assert.deepEqual((await BlipImageProcessor.fromPretrained(directory)).outputSize, { height: 20, width: 20 });
    await write("preprocessor_config.json", size(30));
    assert.deepEqual((await BlipImageProcessor.fromPretrained(directory)).outputSize, { height: 20, width: 20 });
    for (const other of [{ processor_class: "BlipProcessor" }, { image_processor: null }]) {
      await write("processor_config.json", other);
      assert.deepEqual((await BlipImageProcessor.fromPretrained(directory)).outputSize, { height: 30, width: 30 });
    }
    await write("processor_config.json", { image_processor: { ...size(20), do_center_crop: true } });
    await assert.rejects(
      BlipImageProcessor.fromPretrained(directory),
      fails("ARTIFACT_MISMATCH", /processor_config\.json.*crop_size/),
    );
  });

  const refused: [object, RegExp][] = [
    [{ do_convert_rgb: false }, /do_convert_rgb.* false/],
    [{ do_thumbnail: true }, /do_thumbnail.* true/],
    [{ resample: 2 }, /resample must be 3/],
    [{ resample: "bicubic" }, /resample must be 3/],
    [{ data_format: "channels_last" }, /data_format/],
    [{ image_processor_type: "DonutImageProcessor" }, /DonutImageProcessor/],
    [{ size: { shortest_edge: 20 } }, /crop_size.*different sizes/],
    [{ size: { longest_edge: 20 } }, /size must be/],
    [{ size: { height: 20 } }, /size must be/],
    [{ size: { height: 20, width: 20, shortest_edge: 4 } }, /size must be/],
    [{ size: { height: 32767, width: 32767 } }, /from 1 to 4096/],
    [{ size: "384" }, /size must be/],
    [{ do_center_crop: true }, /crop_size must be .*undefined/],
    [{ do_center_crop: true, crop_size: { shortest_edge: 4 } }, /crop_size must be/],
    [{ do_center_crop: "yes", crop_size: 4 }, /doCenterCrop must be true or false/],
    [{ do_pad: true, pad_size: { height: 20, width: 400 } }, /more than the pad_size/],
    [{ do_pad: true, pad_size: 0 }, /pad_size must be/],
    [{ image_mean: [0.5, 0.5] }, /image_mean must be three/],
    [{ image_std: 0 }, /image_std must be/],
    [{ rescale_factor: "1/255" }, /rescale_factor/],
  ];
  for (const [config, message] of refused) {
    it(`refuses ${JSON.stringify(config)} by name`, async () => {
      await assert.rejects(load(config), fails("ARTIFACT_MISMATCH", message));
    });
  }

  it("passes over what changes no pixel", async () => {
    const harmless = {
      do_thumbnail: false,
      do_flip: null,
      size_divisor: 32,
      processor_class: "BlipProcessor",
      crop_size: 3,
    };
    assert.deepEqual((await load({ size: 20, ...harmless })).outputSize, { height: 20, width: 20 });
  });

  it("refuses a picture that cannot be padded or would become too large, and prepares the next", async () => {
    const processor = await load({
      size: { shortest_edge: 20 },
      do_pad: true,
      pad_size: { height: 40, width: 40 },
    });
    await assert.rejects(processor.preprocess(computedPixels([50, 20])), fails("INVALID_INPUT", /pad_size of 40 x 40/));
    assert.deepEqual((await processor.preprocess(computedPixels([35, 20]))).shape, [1, 3, 40, 40]);
    const cropping = await load({ size: { shortest_edge: 384 }, do_center_crop: true, crop_size: 384 });
    await assert.rejects(cropping.preprocess(computedPixels([1, 100_000])), fails("INVALID_INPUT", /would be resized/));
    assert.deepEqual((await cropping.preprocess(computedPixels([35, 20]))).shape, [1, 3, 384, 384]);
  });
});
