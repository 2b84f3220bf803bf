// Runs any TorchScript file that classifies pictures, such as torchvision's ResNet saved with torch.jit.save:
//   node examples/torch-module.mjs resnet.pt picture.jpg
import { BlipImageProcessor, TorchModule } from "neuron-blip";

const [path, picture] = process.argv.slice(2);
if (path === undefined || picture === undefined) throw new Error("Give a TorchScript file and a picture.");

// ImageNet's normalisation, which torchvision's models were trained with.
const processor = new BlipImageProcessor({
  size: { height: 224, width: 224 },
  imageMean: [0.485, 0.456, 0.406],
  imageStd: [0.229, 0.224, 0.225],
});

const module = await TorchModule.load(path);
console.log("inputs:", module.signature.inputs.map(({ name, type }) => `${name}: ${type}`).join(", "));

const pixels = await processor.preprocess(picture); // float32 [1, 3, 224, 224]
const logits = await module.forward([pixels]); // float32 [1, classes], over libtorch's own memory
const ranked = [...logits.data.entries()].sort(([, a], [, b]) => b - a);
for (const [index, logit] of ranked.slice(0, 5)) console.log(`class ${index}: logit ${logit.toFixed(3)}`);
await module.dispose();
