export type { BlipConfig } from "./blip/blip-config.js";
export type { CompiledShapes } from "./blip/compiled-shapes.js";
export { type DecoderInputs, DecoderPaddedGenerator } from "./blip/decoder-padded-generator.js";
export {
  type GenerateInputs,
  type GenerateOptions,
  NeuronBlipForQuestionAnswering,
  type ReplicaOptions,
} from "./blip/neuron-blip-for-question-answering.js";
export { TextEncoderWrapper } from "./blip/text-encoder-wrapper.js";
export { type VisionModelOutput, VisionModelWrapper } from "./blip/vision-model-wrapper.js";
export { NeuronBlipError, type NeuronBlipErrorCode } from "./errors.js";
export type { GenerationConfig } from "./generation/generation-config.js";
export type { GeneratedSequence } from "./generation/greedy-search.js";
export { type Answer, type AnswerOptions, EncodedImage, NeuronBlip, type NeuronBlipOptions } from "./neuron-blip.js";
export {
  BertTokenizer,
  type DecodeOptions,
  type EncodedText,
  type EncodeOptions,
} from "./processing/bert-tokenizer.js";
export { BlipImageProcessor, type BlipImageProcessorConfig } from "./processing/blip-image-processor.js";
export {
  BlipProcessor,
  type BlipProcessorOptions,
  type ProcessTextOptions,
  type TextInputs,
} from "./processing/blip-processor.js";
export {
  type ImageSource,
  type JimpLike,
  type LoadImageOptions,
  loadImage,
  type PixelSource,
  type RawImage,
} from "./processing/load-image.js";
export { Executor, type ExecutorOptions } from "./runtime/executor.js";
export {
  type ModuleSignature,
  TorchModule,
  type TorchModuleOptions,
  type TorchOutput,
} from "./runtime/torch-module.js";
export { type Dtype, Tensor, type TensorData } from "./tensor.js";
