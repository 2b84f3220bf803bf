#pragma once

#include <cstdint>
#include <vector>

#include "turned_rows.h"

namespace neuron_blip {

/// Resizes an interleaved 8-bit picture, turned as it is to be shown, with Pillow's antialiased bicubic filter, equal
/// to `Image.resize((out_width, out_height), Image.Resampling.BICUBIC)` of an RGB picture on every pixel.
///
/// The picture's memory holds width * height * channels bytes, row after row; with 4 channels the fourth (alpha) is
/// ignored. Returns out_width * out_height * 3 bytes of packed RGB.
///
/// Algorithm: Pillow's src/libImaging/Resample.c. Keys' cubic (a = -0.5) stretched by the scale when shrinking, weights
/// normalised in double precision and rounded to 22-bit fixed point, the horizontal pass first, its result rounded and
/// clipped to 8 bits, then the vertical pass. As Pillow does from 12.3 on (Image.resize), a picture more than 100 times
/// as high as wide takes the vertical pass first where it shrinks in height; earlier versions of Pillow differ there.
///
/// Threads: a large picture is resized in bands of output rows, on as many threads as there are cores, but at most 4.
///
/// Memory beyond the result: the weights (about 32 bytes per row and per column of the larger side) and, for each
/// thread, one accumulator row for each output row that is open at a time and a few turned rows; no intermediate
/// picture.
///
/// Throws std::invalid_argument for sizes below 1, channels other than 3 or 4 or an orientation that is not EXIF's,
/// std::length_error where a size does not fit into size_t, and std::bad_alloc.
std::vector<uint8_t> ResizeBicubic(const StoredPicture& picture, int out_width, int out_height);

}  // namespace neuron_blip
