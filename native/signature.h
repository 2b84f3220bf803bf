#pragma once

#include <ATen/core/function_schema.h>
#include <napi.h>

#include <string>
#include <vector>

namespace neuron_blip {

/// A method's schema as its caller sees it: without the module.
c10::FunctionSchema WithoutSelf(const c10::FunctionSchema& method);

/// @throws CodedError INVALID_INPUT where none has that name.
const c10::FunctionSchema& SchemaNamed(const std::vector<c10::FunctionSchema>& schemas, const std::string& name);

/// A ModuleSignature of lib/native.ts by each schema's name.
Napi::Object SignaturesOf(Napi::Env env, const std::vector<c10::FunctionSchema>& schemas);

}  // namespace neuron_blip
