#pragma once

#include <ATen/core/ivalue.h>
#include <napi.h>

#include <memory>
#include <utility>

namespace neuron_blip {

/// A value that stays in native memory, whatever its type: what a function made, or the tensors of a file. Threads may
/// read it side by side, and none may change it.
class TorchValue {
 public:
  static constexpr napi_type_tag kTag = {0x6e62'6c69'7000'0004, 0x546f'7263'6856'616c};
  static constexpr const char* kKind = "TorchValue";

  explicit TorchValue(c10::IValue value) : value_(std::move(value)) {}
  const c10::IValue& value() const { return value_; }

 private:
  c10::IValue value_;
};

/// A new handle.
/// @param bytes native memory that the value alone holds.
Napi::Object WrapValue(Napi::Env env, std::shared_ptr<TorchValue> value, size_t bytes);

void RegisterTorchValue(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
