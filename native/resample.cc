#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

namespace neuron_blip {
namespace {

constexpr int kOutChannels = 3;
constexpr int kVeryTall = 100;  // more than this many times as high as wide
constexpr double kBicubicA = -0.5;
constexpr double kBicubicSupport = 2.0;

/// 32 bits less 8 of the sample and 2 of headroom for the filter's overshoot, so that a sum never overflows an int32.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

double Bicubic(double x) {
  x = std::fabs(x);
  if (x < 1.0) return ((kBicubicA + 2.0) * x - (kBicubicA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kBicubicA;
  return 0.0;
}

size_t CheckedMultiply(size_t a, size_t b) {
  if (b != 0 && a > std::numeric_limits<size_t>::max() / b) {
    throw std::length_error("picture of " + std::to_string(a) + " x " + std::to_string(b) + " is too large");
  }
  return a * b;
}

/// The input samples [first, first + count) that one output sample is made of, and where its weights begin.
struct Taps {
  int first;
  int count;
  size_t offset;
};

/// How one axis is resampled: taps for each output sample, in order, and all their fixed-point weights.
struct Axis {
  std::vector<Taps> taps;
  std::vector<int32_t> weights;
};

int32_t ToFixedPoint(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

Axis MakeAxis(int in_size, int out_size) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kBicubicSupport * filter_scale;
  const double inverse_filter_scale = 1.0 / filter_scale;

  Axis axis;
  axis.taps.reserve(static_cast<size_t>(out_size));
  std::vector<double> weights;
  for (int out = 0; out < out_size; ++out) {
    const double center = (out + 0.5) * scale;
    // Truncation of a value below zero rounds up, which the clamp hides; a cast is what Pillow does too. The bounds are
    // clamped as doubles first: center + support may be beyond an int for the largest pictures.
    const int first = static_cast<int>(std::max(center - support + 0.5, 0.0));
    const int last = static_cast<int>(std::min(center + support + 0.5, static_cast<double>(in_size)));
    const int count = last - first;

    weights.resize(static_cast<size_t>(count));
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      const double weight = Bicubic((i + first - center + 0.5) * inverse_filter_scale);
      weights[static_cast<size_t>(i)] = weight;
      sum += weight;
    }
    axis.taps.push_back({first, count, axis.weights.size()});
    for (const double weight : weights) axis.weights.push_back(ToFixedPoint(sum != 0.0 ? weight / sum : weight));
  }
  return axis;
}

uint8_t ToByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

/// Resamples one row of `channels` interleaved samples into packed RGB.
template <int channels>
void ResampleRow(const uint8_t* row, const Axis& axis, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const uint8_t* in = row + static_cast<size_t>(taps.first) * channels;
    const int32_t* weights = axis.weights.data() + taps.offset;
    int32_t red = kHalf;
    int32_t green = kHalf;
    int32_t blue = kHalf;
    for (int i = 0; i < taps.count; ++i, in += channels) {
      const int32_t weight = weights[i];
      red += in[0] * weight;
      green += in[1] * weight;
      blue += in[2] * weight;
    }
    out[0] = ToByte(red);
    out[1] = ToByte(green);
    out[2] = ToByte(blue);
    out += kOutChannels;
  }
}

template <int channels>
void CopyRow(const uint8_t* row, size_t width, uint8_t* out) {
  for (size_t x = 0; x < width; ++x, row += channels, out += kOutChannels) std::copy_n(row, kOutChannels, out);
}

/// The vertical pass, fed with one horizontally resampled row at a time. Each row is added, weighted, to the output
/// rows that it takes part in; integer sums do not depend on their order, so the result is that of a whole second pass,
/// while the picture between the two passes never exists.
class VerticalPass {
 public:
  VerticalPass(const Axis& axis, size_t row_size, std::vector<uint8_t>& out)
      : axis_(axis), row_size_(row_size), out_(out), slots_(MostOpenRows(axis)) {
    sums_.resize(CheckedMultiply(slots_, row_size_));
  }

  void AddRow(int y, const uint8_t* row) {
    while (opened_ < axis_.taps.size() && axis_.taps[opened_].first <= y) {
      std::fill_n(Sums(opened_), row_size_, kHalf);
      ++opened_;
    }
    for (size_t out_y = closed_; out_y < opened_; ++out_y) {
      const Taps& taps = axis_.taps[out_y];
      const int32_t weight = axis_.weights[taps.offset + static_cast<size_t>(y - taps.first)];
      int32_t* sums = Sums(out_y);
      for (size_t i = 0; i < row_size_; ++i) sums[i] += row[i] * weight;
    }
    while (closed_ < opened_ && axis_.taps[closed_].first + axis_.taps[closed_].count == y + 1) {
      std::transform(Sums(closed_), Sums(closed_) + row_size_,
                     out_.begin() + static_cast<std::ptrdiff_t>(closed_ * row_size_), ToByte);
      ++closed_;
    }
  }

 private:
  int32_t* Sums(size_t out_y) { return sums_.data() + (out_y % slots_) * row_size_; }

  // Rows open and close in order, since both ends of their taps only move forward.
  static size_t MostOpenRows(const Axis& axis) {
    size_t most = 0;
    size_t open_from = 0;
    for (size_t i = 0; i < axis.taps.size(); ++i) {
      while (axis.taps[open_from].first + axis.taps[open_from].count <= axis.taps[i].first) ++open_from;
      most = std::max(most, i - open_from + 1);
    }
    return most;
  }

  const Axis& axis_;
  const size_t row_size_;
  std::vector<uint8_t>& out_;
  const size_t slots_;
  std::vector<int32_t> sums_;
  size_t opened_ = 0;
  size_t closed_ = 0;
};

template <int channels>
std::vector<uint8_t> Resize(const uint8_t* pixels, int width, int height, int out_width, int out_height) {
  const size_t in_row_size = CheckedMultiply(static_cast<size_t>(width), channels);
  const size_t out_row_size = CheckedMultiply(static_cast<size_t>(out_width), kOutChannels);
  CheckedMultiply(in_row_size, static_cast<size_t>(height));
  std::vector<uint8_t> out(CheckedMultiply(out_row_size, static_cast<size_t>(out_height)));

  // As Pillow does, a pass that would change nothing is skipped.
  const bool horizontal = out_width != width;
  const bool vertical = out_height != height;
  const Axis columns = horizontal ? MakeAxis(width, out_width) : Axis{};
  const auto resample_row = [&](const uint8_t* row, uint8_t* out_row) {
    if (horizontal) {
      ResampleRow<channels>(row, columns, out_row);
    } else {
      CopyRow<channels>(row, static_cast<size_t>(width), out_row);
    }
  };

  if (!vertical) {
    for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
      resample_row(pixels + y * in_row_size, out.data() + y * out_row_size);
    }
    return out;
  }

  const Axis rows = MakeAxis(height, out_height);
  std::vector<uint8_t> resampled(out_row_size);
  VerticalPass pass(rows, out_row_size, out);
  for (int y = 0; y < height; ++y) {
    resample_row(pixels + static_cast<size_t>(y) * in_row_size, resampled.data());
    pass.AddRow(y, resampled.data());
  }
  return out;
}

/// The horizontal pass, then the vertical one.
std::vector<uint8_t> ResizeInOrder(const uint8_t* pixels, int width, int height, int channels, int out_width,
                                   int out_height) {
  switch (channels) {
    case 3:
      return Resize<3>(pixels, width, height, out_width, out_height);
    case 4:
      return Resize<4>(pixels, width, height, out_width, out_height);
    default:
      throw std::invalid_argument("expected 3 (RGB) or 4 (RGBA) channels, not " + std::to_string(channels));
  }
}

}  // namespace

std::vector<uint8_t> ResizeBicubic(const uint8_t* pixels, int width, int height, int channels, int out_width,
                                   int out_height) {
  if (width < 1 || height < 1 || out_width < 1 || out_height < 1) {
    throw std::invalid_argument("cannot resize " + std::to_string(width) + " x " + std::to_string(height) + " to " +
                                std::to_string(out_width) + " x " + std::to_string(out_height) +
                                ": every size must be at least 1");
  }
  // Pillow's one exception to "horizontal first": a very tall picture that shrinks in height (since 12.3).
  if (height > kVeryTall * static_cast<int64_t>(width) && out_height < height) {
    const std::vector<uint8_t> shorter = ResizeInOrder(pixels, width, height, channels, width, out_height);
    return ResizeInOrder(shorter.data(), width, out_height, kOutChannels, out_width, out_height);
  }
  return ResizeInOrder(pixels, width, height, channels, out_width, out_height);
}

}  // namespace neuron_blip
