#include "image_ops.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "errors.h"
#include "resample.h"

namespace neuron_blip {
namespace {

constexpr size_t kOutChannels = 3;
constexpr size_t kByteValues = 256;

CodedError Invalid(const std::string& message) { return CodedError("INVALID_INPUT", "preparePixels: " + message); }

int IntArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= 1 && number <= std::numeric_limits<int>::max()) || number != std::floor(number)) {
    const std::string got = value.IsNumber() ? value.ToString().Utf8Value() : "something else";
    throw Invalid(std::string(name) + " must be a whole number of at least 1, not " + got + ".");
  }
  return static_cast<int>(number);
}

Napi::TypedArray ArrayArgument(const Napi::CallbackInfo& info, size_t index, napi_typedarray_type type,
                               const char* message) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != type) {
    throw Invalid(message);
  }
  return info[index].As<Napi::TypedArray>();
}

/// Packed RGB bytes to planes of pixel values, by a table of 256 values for each channel.
void Normalize(const std::vector<uint8_t>& rgb, const float* tables, float* out) {
  const size_t plane = rgb.size() / kOutChannels;
  for (size_t channel = 0; channel < kOutChannels; ++channel) {
    const float* table = tables + channel * kByteValues;
    const uint8_t* in = rgb.data() + channel;
    for (size_t i = 0; i < plane; ++i, in += kOutChannels) *out++ = table[*in];
  }
}

/// preparePixels(pixels, width, height, channels, orientation, outWidth, outHeight, tables): Float32Array
/// It keeps its thread busy: it is for Workers.
Napi::Value PreparePixelsEntry(const Napi::CallbackInfo& info) {
  const auto pixels = ArrayArgument(info, 0, napi_uint8_array, "pixels must be a Uint8Array.").As<Napi::Uint8Array>();
  const StoredPicture picture{
      pixels.Data(),
      IntArgument(info, 1, "width"),
      IntArgument(info, 2, "height"),
      IntArgument(info, 3, "channels"),
      IntArgument(info, 4, "orientation"),
  };
  const int out_width = IntArgument(info, 5, "outWidth");
  const int out_height = IntArgument(info, 6, "outHeight");
  const auto tables =
      ArrayArgument(info, 7, napi_float32_array, "tables must be a Float32Array.").As<Napi::Float32Array>();
  if (tables.ElementLength() != kOutChannels * kByteValues) throw Invalid("tables must have 256 values per channel.");
  if (picture.channels != 3 && picture.channels != 4) {
    throw Invalid("channels must be 3 (RGB) or 4 (RGBA), not " + std::to_string(picture.channels) + ".");
  }
  if (picture.orientation > 8) {
    throw Invalid("orientation must be 1 to 8, not " + std::to_string(picture.orientation) + ".");
  }
  // Two sizes of up to 31 bits and a factor of up to 4 fit into 64 bits.
  const uint64_t expected = static_cast<uint64_t>(picture.width) * static_cast<uint64_t>(picture.height) *
                            static_cast<uint64_t>(picture.channels);
  if (pixels.ElementLength() != expected) {
    throw Invalid("a picture of " + std::to_string(picture.width) + " x " + std::to_string(picture.height) + " with " +
                  std::to_string(picture.channels) + " channels has " + std::to_string(expected) + " bytes, not " +
                  std::to_string(pixels.ElementLength()) + ".");
  }

  constexpr const char* kTooLarge = "There is not enough memory to resize the picture.";
  try {
    const std::vector<uint8_t> rgb = ResizeBicubic(picture, out_width, out_height);
    Napi::Float32Array values = Napi::Float32Array::New(info.Env(), rgb.size());
    Normalize(rgb, tables.Data(), values.Data());
    return values;
  } catch (const std::bad_alloc&) {
    throw CodedError("OUT_OF_MEMORY", kTooLarge);
  } catch (const std::length_error&) {  // beyond what memory can be addressed
    throw CodedError("OUT_OF_MEMORY", kTooLarge);
  }
}

}  // namespace

void RegisterImageOps(Napi::Env env, Napi::Object exports) {
  Export<PreparePixelsEntry>(env, exports, "preparePixels");
}

}  // namespace neuron_blip
