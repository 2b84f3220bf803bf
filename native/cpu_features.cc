#include "cpu_features.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include "errors.h"
#include "quantized_engine.h"

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

/// hasQuantizedEngine(name: string): boolean
Napi::Value HasQuantizedEngineNamed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), HasQuantizedEngine(info[0].As<Napi::String>()));
}

}  // namespace

void RegisterCpuFeatures(Napi::Env env, Napi::Object exports) {
  Export<HasBfloat16Here>(env, exports, "hasBfloat16");
  Export<HasQuantizedEngineNamed>(env, exports, "hasQuantizedEngine");
}

}  // namespace neuron_blip
