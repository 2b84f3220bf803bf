/** Gives modules what they use without importing it. */

import { decoderThreads, loadPixelValues } from "./images/load-image.js";
import { provideImageLoader } from "./processing/image-loader.js";

provideImageLoader({ decoderThreads, loadPixelValues });
