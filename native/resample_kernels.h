#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace neuron_blip {

/// The filter's fixed-point precision: 32 bits less 8 of the sample and 2 of headroom for the filter's overshoot, so
/// that a sum never overflows an int32.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

/// The input samples [first, first + count) that one output sample is made of, and where its weights begin.
struct Taps {
  int first;
  int count;
  /// In Axis::weights.
  size_t offset;
  /// In Axis::halves.
  size_t group;
};

/// How one axis is resampled: taps for each output sample, in order, and all their fixed-point weights.
struct Axis {
  std::vector<Taps> taps;
  std::vector<int32_t> weights;
  /// The weights once more, for processors that multiply pairs of 16-bit numbers: by fours (the last filled up with
  /// zeros), each as its high halves, then its low ones; weight = high * 2^kLowBits + low. Empty where one does not
  /// fit.
  std::vector<int16_t> halves;
};
constexpr int kLowBits = 11;
constexpr size_t kGroupTaps = 4;
constexpr size_t kGroupHalves = 2 * kGroupTaps;

/// The inner loops, in the fastest form that this processor can run; every form computes the same integers.
struct ResampleKernels {
  /// Resamples one row of `width` pixels into packed RGB. Of 4 channels the fourth is ignored.
  void (*resample_rgb)(const uint8_t* row, size_t width, const Axis& axis, uint8_t* out);
  void (*resample_rgba)(const uint8_t* row, size_t width, const Axis& axis, uint8_t* out);
  /// Adds `weight` times a row to sums.
  void (*add_weighted)(const uint8_t* row, int32_t weight, size_t size, int32_t* sums);
  /// Rounds sums to bytes.
  void (*to_bytes)(const int32_t* sums, size_t size, uint8_t* out);
};

/// Chosen once. With NEURON_BLIP_SIMD=off in the environment these are the plain ones, which every processor has.
const ResampleKernels& BestKernels();

}  // namespace neuron_blip
