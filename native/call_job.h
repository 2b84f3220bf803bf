#pragma once

#include <ATen/core/ivalue.h>
#include <napi.h>

#include <functional>
#include <vector>

namespace neuron_blip {

/// What a job calls: a module's method, or a function.
using Callee = std::function<c10::IValue(std::vector<c10::IValue>)>;

/// Calls on an executor's thread. Returns a promise of NativeOutput (lib/native.ts).
/// @param executor a handle of one.
Napi::Value SubmitCall(const Napi::Value& executor, Callee callee, std::vector<c10::IValue> inputs);

/// As SubmitCall, but the promise is of a TorchValue's handle.
Napi::Value SubmitKeep(const Napi::Value& executor, Callee callee, std::vector<c10::IValue> inputs);

}  // namespace neuron_blip
