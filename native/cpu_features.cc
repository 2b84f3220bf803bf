#include "cpu_features.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <algorithm>

#include "errors.h"

namespace neuron_blip {

bool HasBfloat16() {
#ifdef __x86_64__
  // libtorch is content with AVX-512, on which oneDNN emulates it.
  if (!__builtin_cpu_supports("avx512bf16")) return false;
#endif
  const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_is_mkldnn_bf16_supported", ""});
  if (!schema) return false;
  torch::jit::Stack stack;
  schema->callBoxed(stack);
  return torch::jit::pop(stack).toBool();
}

namespace {

/// hasBfloat16(): boolean
Napi::Value HasBfloat16Here(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), HasBfloat16()); }

/// hasHalfWeights(): boolean
Napi::Value HasHalfWeights(const Napi::CallbackInfo& info) {
  const auto& engines = at::Context::supportedQEngines();
  const bool has = std::find(engines.begin(), engines.end(), c10::QEngine::FBGEMM) != engines.end();
  return Napi::Boolean::New(info.Env(), has);
}

}  // namespace

void RegisterCpuFeatures(Napi::Env env, Napi::Object exports) {
  Export<HasBfloat16Here>(env, exports, "hasBfloat16");
  Export<HasHalfWeights>(env, exports, "hasHalfWeights");
}

}  // namespace neuron_blip
