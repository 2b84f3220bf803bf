import type { Executor } from "../../../torch/executor.js";
import type { Functions, Part } from "../../../torch/part.js";
import { Tensor } from "../../../torch/tensor.js";
import type { FunctionInput } from "../../../torch/torch-functions.js";
import type { BlipConfig } from "../../blip-config.js";
import type { CompiledShapes } from "../../compiled-shapes.js";
import { DecoderPaddedGenerator } from "../../decoder-padded-generator.js";
import { TextEncoderWrapper } from "../../text-encoder-wrapper.js";
import { VisionModelWrapper } from "../../vision-model-wrapper.js";
import type { Checkpoint } from "./checkpoint.js";
import { TextDecoderCached } from "./decoder.js";
import { TextEncoderCached } from "./question-encoder.js";

/** What a function of the source takes after its tensors. */
type Sizes = readonly FunctionInput[];

/** A checkpoint on one replica's thread: its functions, as the parts of a model. */
export class LoadedCheckpoint {
  readonly kind = "checkpoint";
  readonly directory: string;
  readonly config: BlipConfig;
  readonly shapes: CompiledShapes;
  readonly executor: Executor;
  /** Whether pictures may be of any size. */
  readonly interpolates: boolean;
  readonly visionModel: VisionModelWrapper;
  readonly #checkpoint: Checkpoint;
  readonly #release: () => Promise<void>;
  readonly #textSizes: Sizes;

  /** @param release lets go of the checkpoint, which other replicas may use, too. */
  constructor(
    checkpoint: Checkpoint,
    executor: Executor,
    {
      config,
      shapes,
      interpolates,
      release,
    }: { config: BlipConfig; shapes: CompiledShapes; interpolates: boolean; release: () => Promise<void> },
  ) {
    this.directory = checkpoint.directory;
    this.#checkpoint = checkpoint;
    this.executor = executor;
    this.config = config;
    this.shapes = shapes;
    this.interpolates = interpolates;
    this.#release = release;
    const { vision, text } = checkpoint.config;
    this.#textSizes = [text.layers, text.heads, text.layerNormEps];
    const visionSizes = [interpolates, vision.layers, vision.heads, vision.layerNormEps];
    const visionPart = this.#part("vision_model", (inputs) => [...inputs, ...visionSizes]);
    this.visionModel = new VisionModelWrapper(visionPart, { imageSize: interpolates ? "any" : shapes.imageSize });
  }

  /** The text encoder of a model that has one, which reads texts about one picture. */
  textEncoder(): TextEncoderCached {
    const { imageTokens, visionHiddenSize } = this.shapes;
    return new TextEncoderCached(this.#textFunctions, this.#checkpoint.keysValuesDtype, {
      imageTokens: this.interpolates ? "any" : imageTokens,
      visionHiddenSize,
    });
  }

  /** The text decoder of a model that has one. */
  textDecoder(): TextDecoderCached {
    const { layers, heads, hiddenSize } = this.#checkpoint.config.text;
    return new TextDecoderCached(
      this.#textFunctions,
      this.#checkpoint.keysValuesDtype,
      { layers, heads, headSize: hiddenSize / heads },
      this.config,
    );
  }

  /** The text encoder by the tutorial's signature. */
  textEncoderWrapper(): TextEncoderWrapper {
    const part = this.#part("text_encoder", (inputs) => [...inputs.slice(0, 3), ...this.#textSizes]);
    return new TextEncoderWrapper(part, this.shapes);
  }

  /** The text decoder by the tutorial's signature. @param encoderShape as DecoderPaddedGenerator's. */
  textDecoderWrapper(encoderShape: readonly (number | "any")[]): DecoderPaddedGenerator {
    // All but the answer's own mask.
    const part = this.#part("text_decoder", (inputs) => [...inputs.filter((_, i) => i !== 3), ...this.#textSizes]);
    return new DecoderPaddedGenerator(part, this.shapes, encoderShape, this.config);
  }

  /** Calls a function of the source that takes tensors, and where `sizes` the text model's. */
  call(name: string, inputs: readonly FunctionInput[], sizes: "text" | "none" = "none") {
    return this.#checkpoint.call(this.executor, name, sizes === "text" ? [...inputs, ...this.#textSizes] : inputs);
  }

  /** Looks at a grey picture, so that the first one does not wait for what libtorch prepares at a first call. */
  async warmUp(): Promise<void> {
    const { imageSize, imageWidth = imageSize } = this.shapes;
    using pixels = Tensor.zeros("float32", [1, 3, imageSize, imageWidth]);
    const { lastHiddenState, poolerOutput } = await this.visionModel.forward(pixels);
    lastHiddenState.dispose();
    poolerOutput.dispose();
  }

  /** Lets go of the weights, and ends the thread. */
  async release(): Promise<void> {
    await this.#release();
    await this.executor.close();
  }

  /** The functions of a text model, which are told its sizes after their tensors: those of keys and values no norm. */
  get #textFunctions(): Functions {
    return {
      path: this.directory,
      call: (name, inputs) => {
        const sizes = this.#textSizes.slice(0, name.endsWith("keys_values") ? 2 : 3);
        return this.#checkpoint.call(this.executor, name, [...inputs, ...sizes]);
      },
    };
  }

  /** A function of the source as a part. @param inputsOf what it takes for a part's inputs. */
  #part(name: string, inputsOf: (inputs: readonly Tensor[]) => FunctionInput[]): Part {
    return {
      path: this.directory,
      batchSizes: [1],
      forward: (inputs) => this.#checkpoint.call(this.executor, name, inputsOf(inputs)),
    };
  }
}
