#include "torch_functions.h"

#include <ATen/core/function.h>
#include <c10/core/InferenceMode.h>

#include <memory>
#include <optional>
#include <utility>

#include "call_job.h"
#include "errors.h"
#include "executor.h"
#include "free_job.h"
#include "handle.h"
#include "instance.h"
#include "module_input.h"
#include "quantized_engine.h"
#include "signature.h"
#include "source_resolver.h"
#include "without_deprecations.h"

namespace neuron_blip {

TorchFunctions::TorchFunctions(const std::string& source) : unit_(std::make_shared<torch::jit::CompilationUnit>()) {
  for (const torch::jit::Function* function : unit_->define({}, source, SourceResolver(), nullptr)) {
    schemas_.push_back(function->getSchema());
  }
}

c10::IValue TorchFunctions::Call(const std::string& name, std::vector<c10::IValue> inputs) const {
  [[maybe_unused]] const WithoutDeprecations quiet;
  const c10::InferenceMode inference;
  return unit_->get_function(c10::QualifiedName(name))(std::move(inputs));
}

namespace {

class CompileJob : public Job {
 public:
  CompileJob(std::shared_ptr<Executor> executor, std::string source)
      : executor_(std::move(executor)), source_(std::move(source)) {}

  void Run() override { functions_ = std::make_shared<TorchFunctions>(source_); }
  Napi::Value Result(Napi::Env env) override {
    Napi::Object compiled = Napi::Object::New(env);
    compiled.Set("functions", SignaturesOf(env, functions_->schemas()));
    compiled.Set("handle", Handle<TorchFunctions>::Wrap(env, std::move(functions_)));
    return compiled;
  }

 private:
  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
  std::string source_;
  std::shared_ptr<TorchFunctions> functions_;
};

/// compileFunctions(executor, source): Promise<{handle, functions}>, a signature by each function's name.
Napi::Value CompileFunctions(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  Executor& runner = *executor;
  return Instance::Of(info.Env())
      .Submit(runner, std::make_unique<CompileJob>(std::move(executor), info[1].As<Napi::String>()));
}

/// callFunction(executor, functions, name, inputs, engine): Promise<output>; keepFunction: Promise<value>. engine: the
/// name of a quantized engine, or undefined.
template <Napi::Value (*submit)(const Napi::Value&, Callee, std::vector<c10::IValue>)>
Napi::Value CallFunction(const Napi::CallbackInfo& info) {
  auto functions = Handle<TorchFunctions>::Unwrap(info[1]);
  std::string name = info[2].As<Napi::String>();
  std::vector<c10::IValue> inputs = ToInputs(SchemaNamed(functions->schemas(), name), info[3].As<Napi::Array>());
  std::optional<c10::QEngine> engine;
  if (info[4].IsString()) engine = QuantizedEngineNamed(info[4].As<Napi::String>());
  auto callee = [functions = std::move(functions), name = std::move(name), engine](std::vector<c10::IValue> given) {
    std::optional<WithQuantizedEngine> chosen;
    if (engine) chosen.emplace(*engine);
    return functions->Call(name, std::move(given));
  };
  return submit(info[0], std::move(callee), std::move(inputs));
}

/// releaseFunctions(executor, functions): Promise<void>
Napi::Value ReleaseFunctions(const Napi::CallbackInfo& info) { return SubmitFree<TorchFunctions>(info[0], info[1]); }

}  // namespace

void RegisterTorchFunctions(Napi::Env env, Napi::Object exports) {
  Export<CompileFunctions>(env, exports, "compileFunctions");
  Export<CallFunction<SubmitCall>>(env, exports, "callFunction");
  Export<CallFunction<SubmitKeep>>(env, exports, "keepFunction");
  Export<ReleaseFunctions>(env, exports, "releaseFunctions");
}

}  // namespace neuron_blip
