#include "signature.h"

#include <ATen/core/jit_type.h>

#include "errors.h"

namespace neuron_blip {
namespace {

Napi::Object SignatureOf(Napi::Env env, const c10::FunctionSchema& schema) {
  Napi::Array inputs = Napi::Array::New(env);
  for (const c10::Argument& argument : schema.arguments()) {
    Napi::Object input = Napi::Object::New(env);
    input.Set("name", argument.name());
    input.Set("type", argument.type()->annotation_str());
    input.Set("optional", argument.default_value().has_value());
    inputs.Set(inputs.Length(), input);
  }
  Napi::Array outputs = Napi::Array::New(env);
  for (const c10::Argument& result : schema.returns()) outputs.Set(outputs.Length(), result.type()->annotation_str());
  Napi::Object signature = Napi::Object::New(env);
  signature.Set("inputs", inputs);
  signature.Set("outputs", outputs);
  return signature;
}

}  // namespace

c10::FunctionSchema WithoutSelf(const c10::FunctionSchema& method) {
  const auto& arguments = method.arguments();
  return method.cloneWithArguments({arguments.begin() + 1, arguments.end()});
}

const c10::FunctionSchema& SchemaNamed(const std::vector<c10::FunctionSchema>& schemas, const std::string& name) {
  for (const c10::FunctionSchema& schema : schemas) {
    if (schema.name() == name) return schema;
  }
  throw CodedError("INVALID_INPUT", "There is no method or function `" + name + "`.");
}

Napi::Object SignaturesOf(Napi::Env env, const std::vector<c10::FunctionSchema>& schemas) {
  Napi::Object signatures = Napi::Object::New(env);
  for (const c10::FunctionSchema& schema : schemas) signatures.Set(schema.name(), SignatureOf(env, schema));
  return signatures;
}

}  // namespace neuron_blip
