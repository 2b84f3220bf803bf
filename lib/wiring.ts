/** Gives rooms what they use without knowing it. */

import { provideImageLoader } from "./processing/image-loader.js";
import { DECODED_AT_A_TIME, loadPixelValues } from "./processing/load-image.js";

provideImageLoader({ decodedAtATime: DECODED_AT_A_TIME, loadPixelValues });
