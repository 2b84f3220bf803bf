/** Gives rooms what they use without knowing it. */

import { decoderThreads, loadPixelValues } from "./images/load-image.js";
import { provideImageLoader } from "./processing/image-loader.js";

provideImageLoader({ decoderThreads, loadPixelValues });
