#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <napi.h>

#include <vector>

namespace neuron_blip {

/// A call's inputs, made from what JavaScript gives (an array of NativeInput in lib/native.ts) by the types that the
/// schema declares, which has no `self`. Where that is Any, Scalar or a union, whole numbers and bigints are int, other
/// numbers float.
/// @throws CodedError INVALID_INPUT for a value that its declared type does not take.
std::vector<c10::IValue> ToInputs(const c10::FunctionSchema& schema, const Napi::Array& given);

}  // namespace neuron_blip
