#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace neuron_blip {

/// A contiguous CPU tensor in native memory, shared with JavaScript as an external ArrayBuffer. Each side holds a
/// reference of its own to the memory, so detaching or collecting one frees nothing that the other, or a running
/// forward, still uses.
class Tensor {
 public:
  static constexpr napi_type_tag kTag = {0x6e62'6c69'7000'0002, 0x5465'6e73'6f72'0000};
  static constexpr const char* kKind = "Tensor";

  explicit Tensor(at::Tensor value) : value_(std::move(value)) {}
  const at::Tensor& value() const { return value_; }

 private:
  at::Tensor value_;
};

/// A shape, from an array of numbers.
std::vector<int64_t> ShapeFrom(const Napi::Value& value);

/// A new handle for a tensor that is contiguous and on the CPU.
/// @return {kind: "tensor", handle, dtype, shape}
Napi::Object WrapTensor(Napi::Env env, const at::Tensor& tensor);

void RegisterTensor(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
