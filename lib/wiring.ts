/** Gives rooms what they use without knowing it. */

import { DECODED_AT_A_TIME, loadPixelValues } from "./images/load-image.js";
import { provideImageLoader } from "./processing/image-loader.js";

provideImageLoader({ decodedAtATime: DECODED_AT_A_TIME, loadPixelValues });
