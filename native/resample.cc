#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <future>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "resample_kernels.h"

namespace neuron_blip {
namespace {

constexpr int kOutChannels = 3;
constexpr int kVeryTall = 100;  // more than this many times as high as wide
constexpr double kBicubicA = -0.5;
constexpr double kBicubicSupport = 2.0;

/// A thread for each so many pixels: below, starting it costs more than it saves.
constexpr size_t kPixelsPerThread = size_t{1} << 20;
constexpr unsigned kMostThreads = 4;

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
    axis.taps.push_back({first, count, axis.weights.size(), 0});
    for (const double weight : weights) axis.weights.push_back(ToFixedPoint(sum != 0.0 ? weight / sum : weight));
  }
  return axis;
}

/// Fills in `halves`.
void SplitWeights(Axis& axis) {
  for (Taps& taps : axis.taps) {
    taps.group = axis.halves.size();
    const auto count = static_cast<size_t>(taps.count);
    for (size_t group = 0; group < count; group += kGroupTaps) {
      const size_t at = axis.halves.size();
      axis.halves.resize(at + kGroupHalves);
      for (size_t i = 0; i < std::min(kGroupTaps, count - group); ++i) {
        const int32_t weight = axis.weights[taps.offset + group + i];
        const int32_t high = weight >> kLowBits;
        if (high != static_cast<int16_t>(high)) {  // no filter's weight is that large
          axis.halves.clear();
          return;
        }
        axis.halves[at + i] = static_cast<int16_t>(high);
        axis.halves[at + kGroupTaps + i] = static_cast<int16_t>(weight - high * (1 << kLowBits));
      }
    }
  }
}

template <int channels>
void CopyRow(const uint8_t* row, size_t width, uint8_t* out) {
  for (size_t x = 0; x < width; ++x, row += channels, out += kOutChannels) std::copy_n(row, kOutChannels, out);
}

/// The vertical pass for the output rows [begin, end), fed with one horizontally resampled row at a time. Each row is
/// added, weighted, to the output rows that it takes part in; integer sums do not depend on their order, so the result
/// is that of a whole second pass, while the picture between the two passes never exists.
class VerticalPass {
 public:
  VerticalPass(const Axis& axis, size_t begin, size_t end, size_t row_size, uint8_t* out)
      : axis_(axis),
        row_size_(row_size),
        out_(out),
        slots_(MostOpenRows(axis, begin, end)),
        end_(end),
        opened_(begin),
        closed_(begin) {
    sums_.resize(CheckedMultiply(slots_, row_size_));
  }

  void AddRow(int y, const uint8_t* row) {
    while (opened_ < end_ && axis_.taps[opened_].first <= y) {
      std::fill_n(Sums(opened_), row_size_, kHalf);
      ++opened_;
    }
    for (size_t out_y = closed_; out_y < opened_; ++out_y) {
      const Taps& taps = axis_.taps[out_y];
      const int32_t weight = axis_.weights[taps.offset + static_cast<size_t>(y - taps.first)];
      kernels_.add_weighted(row, weight, row_size_, Sums(out_y));
    }
    while (closed_ < opened_ && axis_.taps[closed_].first + axis_.taps[closed_].count == y + 1) {
      kernels_.to_bytes(Sums(closed_), row_size_, out_ + closed_ * row_size_);
      ++closed_;
    }
  }

 private:
  int32_t* Sums(size_t out_y) { return sums_.data() + (out_y % slots_) * row_size_; }

  // Rows open and close in order, since both ends of their taps only move forward.
  static size_t MostOpenRows(const Axis& axis, size_t begin, size_t end) {
    size_t most = 0;
    size_t open_from = begin;
    for (size_t i = begin; i < end; ++i) {
      while (axis.taps[open_from].first + axis.taps[open_from].count <= axis.taps[i].first) ++open_from;
      most = std::max(most, i - open_from + 1);
    }
    return most;
  }

  const ResampleKernels& kernels_ = BestKernels();
  const Axis& axis_;
  const size_t row_size_;
  uint8_t* const out_;
  const size_t slots_;
  std::vector<int32_t> sums_;
  const size_t end_;
  size_t opened_;
  size_t closed_;
};

/// Calls `work(begin, end)` for bands of [0, count), each on a thread of its own.
/// @throws what one of them threw, when all have ended
template <typename Work>
void InBands(size_t count, size_t pixels, const Work& work) {
  const size_t cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads);
  const size_t bands = std::clamp(pixels / kPixelsPerThread, size_t{1}, std::min(cores, count));
  std::vector<std::future<void>> others;
  for (size_t band = 1; band < bands; ++band) {
    const auto run = [&work, band, bands, count] { work(count * band / bands, count * (band + 1) / bands); };
    try {
      others.push_back(std::async(std::launch::async, run));
    } catch (const std::system_error&) {
      run();  // there is no further thread to be had
    }
  }
  work(0, count / bands);
  for (std::future<void>& other : others) other.get();
}

/// The horizontal pass, then the vertical one.
template <int channels>
std::vector<uint8_t> Resize(const StoredPicture& picture, int out_width, int out_height) {
  const int width = picture.ShownWidth();
  const int height = picture.ShownHeight();
  const size_t pixels = CheckedMultiply(static_cast<size_t>(width), static_cast<size_t>(height));
  CheckedMultiply(pixels, channels);
  const size_t out_row_size = CheckedMultiply(static_cast<size_t>(out_width), kOutChannels);
  const auto out_rows = static_cast<size_t>(out_height);
  std::vector<uint8_t> out(CheckedMultiply(out_row_size, out_rows));

  // As Pillow does, a pass that would change nothing is skipped.
  const bool horizontal = out_width != width;
  const bool vertical = out_height != height;
  Axis columns = horizontal ? MakeAxis(width, out_width) : Axis{};
  SplitWeights(columns);
  const Axis rows = vertical ? MakeAxis(height, out_height) : Axis{};
  const ResampleKernels& kernels = BestKernels();
  const auto resample = channels == kOutChannels ? kernels.resample_rgb : kernels.resample_rgba;
  const auto resample_row = [&](const uint8_t* row, uint8_t* out_row) {
    if (horizontal) {
      resample(row, static_cast<size_t>(width), columns, out_row);
    } else {
      CopyRow<channels>(row, static_cast<size_t>(width), out_row);
    }
  };

  InBands(out_rows, pixels, [&](size_t begin, size_t end) {
    TurnedRows<channels> source(picture);
    if (!vertical) {
      for (size_t y = begin; y < end; ++y) resample_row(source.Row(static_cast<int>(y)), out.data() + y * out_row_size);
      return;
    }
    std::vector<uint8_t> resampled(out_row_size);
    VerticalPass pass(rows, begin, end, out_row_size, out.data());
    const int last = rows.taps[end - 1].first + rows.taps[end - 1].count;
    for (int y = rows.taps[begin].first; y < last; ++y) {
      resample_row(source.Row(y), resampled.data());
      pass.AddRow(y, resampled.data());
    }
  });
  return out;
}

std::vector<uint8_t> ResizeInOrder(const StoredPicture& picture, int out_width, int out_height) {
  switch (picture.channels) {
    case 3:
      return Resize<3>(picture, out_width, out_height);
    case 4:
      return Resize<4>(picture, out_width, out_height);
    default:
      throw std::invalid_argument("expected 3 (RGB) or 4 (RGBA) channels, not " + std::to_string(picture.channels));
  }
}

}  // namespace

std::vector<uint8_t> ResizeBicubic(const StoredPicture& picture, int out_width, int out_height) {
  if (picture.width < 1 || picture.height < 1 || out_width < 1 || out_height < 1) {
    throw std::invalid_argument("cannot resize " + std::to_string(picture.width) + " x " +
                                std::to_string(picture.height) + " to " + std::to_string(out_width) + " x " +
                                std::to_string(out_height) + ": every size must be at least 1");
  }
  if (picture.orientation < 1 || picture.orientation > 8) {
    throw std::invalid_argument("an orientation is 1 to 8, not " + std::to_string(picture.orientation));
  }
  // Pillow's one exception to "horizontal first": a very tall picture that shrinks in height (since 12.3).
  const int width = picture.ShownWidth();
  const int height = picture.ShownHeight();
  if (height > kVeryTall * static_cast<int64_t>(width) && out_height < height) {
    const std::vector<uint8_t> shorter = ResizeInOrder(picture, width, out_height);
    return ResizeInOrder({shorter.data(), width, out_height, kOutChannels, 1}, out_width, out_height);
  }
  return ResizeInOrder(picture, out_width, out_height);
}

}  // namespace neuron_blip
