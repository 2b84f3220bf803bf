import type { ImageCodec, ImageHeader } from "./codec.js";
import { orientationOfTiff } from "./orientation.js";
import { decodeTiffWithJimp } from "./tiff-jimp.js";
import { tiffKindOf } from "./tiff-modes.js";
import { readTiffPage, tiffCost } from "./tiff-page.js";
import { decodeTiffWithSharp } from "./tiff-sharp.js";

/** TIFF and BigTIFF: the first page. */
export const tiff: ImageCodec = { readHeader, jimp: decodeTiffWithJimp, sharp: decodeTiffWithSharp };

function readHeader(file: Buffer): ImageHeader {
  const page = readTiffPage(file);
  return {
    width: page.width,
    height: page.height,
    orientation: orientationOfTiff(page.directory),
    kind: tiffKindOf(page),
    cost: tiffCost(file, page),
  };
}
