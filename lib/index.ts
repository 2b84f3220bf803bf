/// <reference lib="esnext.disposable" preserve="true" />
// First: the classes below have methods of these names.
import "./util/symbol-dispose.js";
import "./wiring.js";

export type { BlipConfig } from "./blip/blip-config.js";
export type { CompiledShapes, ImageShapes } from "./blip/compiled-shapes.js";
export { type DecoderInputs, DecoderPaddedGenerator } from "./blip/decoder-padded-generator.js";
export type { Architecture, PartName } from "./blip/heads.js";
export type { ReplicaOptions } from "./blip/load-parts.js";
export type { LoadedParts } from "./blip/loaded-parts.js";
export type { FileSpec, Manifest, PartSpec, TensorSpec } from "./blip/manifest.js";
export type { ImageTensors, TextTensors } from "./blip/model-inputs.js";
export {
  type CaptionGenerateOptions,
  type CaptionInputs,
  type CaptionShapes,
  NeuronBlipForConditionalGeneration,
} from "./blip/neuron-blip-for-conditional-generation.js";
export { NeuronBlipForImageTextRetrieval, type RetrievalShapes } from "./blip/neuron-blip-for-image-text-retrieval.js";
export {
  type GenerateInputs,
  type GenerateOptions,
  NeuronBlipForQuestionAnswering,
  type RankingPart,
  type RankOptions,
} from "./blip/neuron-blip-for-question-answering.js";
export {
  NeuronBlipPreTrainedModel,
  type VisionModelOutput,
  VisionModelWrapper,
} from "./blip/neuron-blip-pretrained-model.js";
export type { CheckpointDtype } from "./blip/parts/checkpoint/checkpoint.js";
export type { KeysValuesDtype } from "./blip/parts/checkpoint/checkpoint-config.js";
export {
  type CachedDecoderInputs,
  type CachedDecoderOutput,
  TextDecoderCached,
} from "./blip/parts/checkpoint/decoder.js";
export type { CheckpointLoadOptions } from "./blip/parts/checkpoint/load-checkpoint.js";
export { type PictureTexts, TextEncoderCached } from "./blip/parts/checkpoint/question-encoder.js";
export { TextEncoderWrapper } from "./blip/text-encoder-wrapper.js";
export type { PaddedTexts } from "./blip/token-ids.js";
export { NeuronBlipError, type NeuronBlipErrorCode } from "./errors.js";
export type { GeneratedSequence } from "./generation/generated-sequence.js";
export type { GenerationConfig, LogitsProcessor, StoppingCriterion } from "./generation/generation-config.js";
export type { RankedSequence, RankingConfig } from "./generation/ranking.js";
export { type Streamer, TextStreamer, type TextStreamerOptions } from "./generation/text-streamer.js";
export type { HubOptions } from "./hub/hub-options.js";
export type { DownloadProgress, ProgressCallback } from "./hub/hub-progress.js";
export { EncodedImage, type Picture } from "./images/encoded-image.js";
export type { PictureCacheOptions } from "./images/image-features.js";
export { type ImageDecoder, loadImage, type RawImage } from "./images/load-image.js";
export { NeuronBlip } from "./neuron-blip.js";
export type { NeuronBlipOptions } from "./options.js";
export {
  type EitherCase,
  type GeneratedCaption,
  type ImageAndQuestion,
  type ImageToTextOptions,
  type ImageToTextPipeline,
  type Pipeline,
  type PipelineTask,
  pipeline,
  type SnakeCase,
  type VisualAnswer,
  type VisualQuestionAnsweringOptions,
  type VisualQuestionAnsweringPipeline,
} from "./pipelines.js";
export {
  BertTokenizer,
  type DecodeOptions,
  type EncodedText,
  type EncodeOptions,
} from "./processing/bert-tokenizer.js";
export { BlipImageProcessor } from "./processing/blip-image-processor.js";
export {
  BlipProcessor,
  type BlipProcessorOptions,
  type ProcessTextOptions,
  type TextInputs,
} from "./processing/blip-processor.js";
export type { LoadImageOptions } from "./processing/image-loader.js";
export type { BlipImageProcessorConfig } from "./processing/image-processor-config.js";
export type {
  BlobLike,
  FetchPicture,
  FileHandleLike,
  ImageSource,
  JimpLike,
  NodeStreamLike,
  PixelSource,
  ResponseLike,
  SharpLike,
  SharpOutput,
  SourceOptions,
  UploadLike,
  WebStreamLike,
} from "./processing/image-source.js";
export type { PictureSize, ResizeRule } from "./processing/picture-geometry.js";
export type { ReplicaEvents } from "./serving/replicas.js";
export type { NeuronBlipStats } from "./serving/stats.js";
export type { AnswerOptions } from "./tasks/answer.js";
export type { CaptionOptions } from "./tasks/caption.js";
export type { CallOptions, SettledOption, TextOptions } from "./tasks/encode-text.js";
export type { MatchOptions } from "./tasks/match.js";
export type { RankAnswerOptions } from "./tasks/rank.js";
export type { Answer, Caption, GeneratedText, Match, RankedAnswer } from "./tasks/results.js";
export type { SimilarityOptions } from "./tasks/similarity.js";
export type { StreamOptions } from "./tasks/stream.js";
export type { ResultFor } from "./tasks/task.js";
export { CompiledPart } from "./torch/compiled-part.js";
export { Executor, type ExecutorOptions } from "./torch/executor.js";
export type { NeuronRuntimeOptions } from "./torch/neuron/neuron-runtime.js";
export type { Functions, Part } from "./torch/part.js";
export { type Dtype, Tensor, type TensorData, type TensorSource } from "./torch/tensor.js";
export {
  type ModuleSignature,
  type TorchInput,
  TorchModule,
  type TorchModuleOptions,
  type TorchOutput,
} from "./torch/torch-module.js";
export type { ShapePattern } from "./torch/torch-values.js";
export {
  type BatchKind,
  type BatchMessage,
  type CallEndMessage,
  type CallRows,
  type CallStartMessage,
  type CallTask,
  type DiagnosticsMessages,
  onDiagnostics,
  type PictureMessage,
  type ReplicaMessage,
  type Stage,
  type StageMessage,
} from "./util/diagnostics.js";
export type { TypedEmitter } from "./util/events.js";
export type { ModelDirectory } from "./util/model-path.js";
export type { UrlLike } from "./util/values.js";
