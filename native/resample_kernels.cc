#include "resample_kernels.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__) && defined(__GNUC__)
#define NEURON_BLIP_AVX2
#include <immintrin.h>
#endif

namespace neuron_blip {
namespace {

constexpr int kOutChannels = 3;

inline uint8_t ToByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

/// One output pixel's taps from `done` on, added to sums of red, green and blue.
template <int channels>
inline void AddTaps(const uint8_t* row, const Axis& axis, const Taps& taps, int done, int32_t* sums) {
  const uint8_t* in = row + static_cast<size_t>(taps.first + done) * channels;
  const int32_t* weights = axis.weights.data() + taps.offset;
  for (int i = done; i < taps.count; ++i, in += channels) {
    const int32_t weight = weights[i];
    for (int c = 0; c < kOutChannels; ++c) sums[c] += in[c] * weight;
  }
}

template <int channels>
void ResampleRow(const uint8_t* row, size_t /*width*/, const Axis& axis, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    std::array<int32_t, kOutChannels> sums = {kHalf, kHalf, kHalf};
    AddTaps<channels>(row, axis, taps, 0, sums.data());
    for (const int32_t sum : sums) *out++ = ToByte(sum);
  }
}

void AddWeighted(const uint8_t* row, int32_t weight, size_t size, int32_t* sums) {
  for (size_t i = 0; i < size; ++i) sums[i] += row[i] * weight;
}

void ToBytes(const int32_t* sums, size_t size, uint8_t* out) { std::transform(sums, sums + size, out, ToByte); }

constexpr ResampleKernels kPlain = {ResampleRow<3>, ResampleRow<4>, AddWeighted, ToBytes};

#ifdef NEURON_BLIP_AVX2
#define NEURON_BLIP_TARGET __attribute__((target("avx2")))

/// Four pixels at a time: their bytes are spread to pairs of 16-bit numbers, two pixels to each half of the register,
/// and multiplied with the weights' high and low halves. Sums may wrap around in between; the whole one fits, so it is
/// right.
template <int channels>
NEURON_BLIP_TARGET void ResampleRowAvx2(const uint8_t* row, size_t width, const Axis& axis, uint8_t* out) {
  if (axis.halves.empty()) return ResampleRow<channels>(row, width, axis, out);
  constexpr size_t kLoad = 16;
  constexpr char kNone = -1;  // a zero
  constexpr char kNext = channels;
  const __m256i spread = _mm256_setr_epi8(
      0, kNone, kNext, kNone, 1, kNone, kNext + 1, kNone, 2, kNone, kNext + 2, kNone, kNone, kNone, kNone, kNone,  //
      2 * kNext, kNone, 3 * kNext, kNone, 2 * kNext + 1, kNone, 3 * kNext + 1, kNone, 2 * kNext + 2, kNone,
      3 * kNext + 2, kNone, kNone, kNone, kNone, kNone);
  const __m256i high_pairs = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i low_pairs = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const size_t row_size = width * channels;
  for (const Taps& taps : axis.taps) {
    __m256i high = _mm256_setzero_si256();
    __m256i low = _mm256_setzero_si256();
    const int16_t* halves = axis.halves.data() + taps.group;
    size_t at = static_cast<size_t>(taps.first) * channels;
    int done = 0;
    // What a load reads beyond the taps has no weight, but must be in the row.
    for (; done < taps.count && at + kLoad <= row_size; done += kGroupTaps, at += kGroupTaps * channels) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at));
      const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
      const __m128i group = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves));
      const __m256i weights = _mm256_castsi128_si256(group);
      high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, _mm256_permutevar8x32_epi32(weights, high_pairs)));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, _mm256_permutevar8x32_epi32(weights, low_pairs)));
      halves += kGroupHalves;
    }
    const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
    const __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    std::array<int32_t, 4> sums{};
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums.data()), _mm_add_epi32(sum, _mm_set1_epi32(kHalf)));
    AddTaps<channels>(row, axis, taps, done, sums.data());
    for (size_t i = 0; i < kOutChannels; ++i) *out++ = ToByte(sums[i]);
  }
}

NEURON_BLIP_TARGET void AddWeightedAvx2(const uint8_t* row, int32_t weight, size_t size, int32_t* sums) {
  constexpr size_t kStep = 8;
  const __m256i weights = _mm256_set1_epi32(weight);
  size_t i = 0;
  for (; i + kStep <= size; i += kStep) {
    const __m256i samples = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i)));
    auto* target = reinterpret_cast<__m256i*>(sums + i);
    _mm256_storeu_si256(target, _mm256_add_epi32(_mm256_loadu_si256(target), _mm256_mullo_epi32(samples, weights)));
  }
  AddWeighted(row + i, weight, size - i, sums + i);
}

constexpr ResampleKernels kAvx2 = {ResampleRowAvx2<3>, ResampleRowAvx2<4>, AddWeightedAvx2, ToBytes};
#endif

const ResampleKernels& Choose() {
  const char* setting = std::getenv("NEURON_BLIP_SIMD");  // NOLINT(concurrency-mt-unsafe)
  if (setting != nullptr && std::string_view(setting) == "off") return kPlain;
#ifdef NEURON_BLIP_AVX2
  if (__builtin_cpu_supports("avx2")) return kAvx2;
#endif
  return kPlain;
}

}  // namespace

const ResampleKernels& BestKernels() {
  static const ResampleKernels& kernels = Choose();
  return kernels;
}

}  // namespace neuron_blip
