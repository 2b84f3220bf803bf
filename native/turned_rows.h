#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace neuron_blip {

/// An interleaved 8-bit picture as it is stored, and how it is to be turned to be shown.
struct StoredPicture {
  const uint8_t* pixels;
  int width;
  int height;
  /// 3 (RGB) or 4 (RGBA).
  int channels;
  /// EXIF's, 1 to 8; 1 for a picture that is stored as it is shown.
  int orientation;

  [[nodiscard]] bool IsTransposed() const { return orientation >= 5; }
  [[nodiscard]] int ShownWidth() const { return IsTransposed() ? height : width; }
  [[nodiscard]] int ShownHeight() const { return IsTransposed() ? width : height; }
};

/// Reads a picture's rows as they are shown (as PIL.ImageOps.exif_transpose turns them), without a turned copy of it.
/// Rows should be read from the top: a transposed picture is turned by a few rows at a time, which are columns of what
/// is stored, so that its memory is walked through in pieces that the processor's caches like.
template <int channels>
class TurnedRows {
 public:
  explicit TurnedRows(const StoredPicture& picture)
      : picture_(picture), row_size_(static_cast<size_t>(picture.ShownWidth()) * channels) {
    if (IsStoredRow()) return;
    buffer_.resize(row_size_ * (picture.IsTransposed() ? kStrip : 1));
  }

  /// Valid until the next call.
  const uint8_t* Row(int y) {
    const int orientation = picture_.orientation;
    const bool from_bottom = orientation == 3 || orientation == 4;
    if (!picture_.IsTransposed()) {
      const uint8_t* stored = Stored(0, from_bottom ? picture_.height - 1 - y : y);
      if (IsStoredRow()) return stored;
      Mirror(stored);
      return buffer_.data();
    }
    if (y < strip_ || y >= strip_ + strip_rows_) Turn(y);
    return buffer_.data() + static_cast<size_t>(y - strip_) * row_size_;
  }

 private:
  static constexpr int kStrip = 16;

  [[nodiscard]] bool IsStoredRow() const { return picture_.orientation == 1 || picture_.orientation == 4; }

  [[nodiscard]] const uint8_t* Stored(int x, int y) const {
    return picture_.pixels + (static_cast<size_t>(y) * static_cast<size_t>(picture_.width) + static_cast<size_t>(x)) *
                                 static_cast<size_t>(channels);
  }

  void Mirror(const uint8_t* stored) {
    uint8_t* out = buffer_.data() + row_size_;
    for (int x = 0; x < picture_.width; ++x, stored += channels) std::copy_n(stored, channels, out -= channels);
  }

  /// Fills the buffer with the shown rows from y on.
  void Turn(int y) {
    strip_ = y;
    strip_rows_ = std::min(kStrip, picture_.width - y);
    const int orientation = picture_.orientation;
    const bool rows_from_bottom = orientation == 6 || orientation == 7;
    const bool columns_from_right = orientation == 7 || orientation == 8;
    for (int x = 0; x < picture_.height; ++x) {
      const int stored_y = rows_from_bottom ? picture_.height - 1 - x : x;
      uint8_t* out = buffer_.data() + static_cast<size_t>(x) * channels;
      for (int i = 0; i < strip_rows_; ++i, out += row_size_) {
        const int stored_x = columns_from_right ? picture_.width - 1 - (y + i) : y + i;
        std::copy_n(Stored(stored_x, stored_y), channels, out);
      }
    }
  }

  const StoredPicture picture_;
  const size_t row_size_;
  std::vector<uint8_t> buffer_;
  int strip_ = 0;
  int strip_rows_ = 0;
};

}  // namespace neuron_blip
