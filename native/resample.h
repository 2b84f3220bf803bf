#pragma once

#include <cstdint>
#include <vector>

namespace neuron_blip {

/// Resizes an interleaved 8-bit picture with Pillow's antialiased bicubic filter, equal to `Image.resize((out_width,
/// out_height), Image.Resampling.BICUBIC)` of an RGB picture on every pixel.
///
/// `pixels` holds width * height * channels bytes, row after row; with 4 channels the fourth (alpha) is ignored.
/// Returns out_width * out_height * 3 bytes of packed RGB.
///
/// Algorithm: Pillow's src/libImaging/Resample.c. Keys' cubic (a = -0.5) stretched by the scale when shrinking, weights
/// normalised in double precision and rounded to 22-bit fixed point, the horizontal pass first, its result rounded and
/// clipped to 8 bits, then the vertical pass. As Pillow does from 12.3 on (Image.resize), a picture more than 100 times
/// as high as wide takes the vertical pass first where it shrinks in height; earlier versions of Pillow differ there.
///
/// Memory beyond the result: the weights (about 16 bytes per row and per column of the larger side) and one accumulator
/// row for each output row that is open at a time; no intermediate picture.
///
/// Throws std::invalid_argument for sizes below 1 or channels other than 3 or 4, std::length_error where a size does
/// not fit into size_t, and std::bad_alloc.
std::vector<uint8_t> ResizeBicubic(const uint8_t* pixels, int width, int height, int channels, int out_width,
                                   int out_height);

}  // namespace neuron_blip
