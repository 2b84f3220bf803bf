#pragma once

#include <ATen/core/ivalue.h>
#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace neuron_blip {

/// What a method returned, taken apart on the executor's thread, so that the JavaScript thread only wraps.
struct Output {
  enum class Kind { kTensor, kList, kDict, kNumber, kInteger, kBool, kString, kNull };
  Kind kind = Kind::kNull;
  at::Tensor tensor;
  std::vector<Output> items;
  std::vector<std::string> keys;  // of a dict, in step with items
  double number = 0;
  int64_t integer = 0;  // one that a JavaScript number cannot hold
  bool boolean = false;
  std::string string;
};

/// Takes a value apart and lets go of it. Each tensor of the output has memory of its own: where it is shared (with the
/// module's weights, an input or another output) or not contiguous it is copied, so that writing to one array never
/// changes another. What else holds the memory is counted: the inputs must be held by the caller still.
/// @throws CodedError EXECUTION_FAILED for what JavaScript has no counterpart for, for values nested more than 64 deep
/// or in a circle, and for more than 100,000 of them.
Output TakeApart(c10::IValue value);

/// NativeOutput in lib/native.ts.
Napi::Value ToJs(Napi::Env env, const Output& output);

}  // namespace neuron_blip
