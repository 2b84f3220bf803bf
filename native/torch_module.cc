#include "torch_module.h"

#include <c10/core/InferenceMode.h>

#include <utility>

#include "caching_allocator.h"
#include "call_job.h"
#include "errors.h"
#include "handle.h"
#include "instance.h"
#include "module_input.h"
#include "signature.h"

namespace neuron_blip {
namespace {

size_t WeightBytes(const torch::jit::Module& module) {
  size_t bytes = 0;
  for (const at::Tensor& parameter : module.parameters()) bytes += parameter.nbytes();
  for (const at::Tensor& buffer : module.buffers()) bytes += buffer.nbytes();
  return bytes;
}

std::vector<c10::FunctionSchema> SchemasOf(const torch::jit::Module& module) {
  std::vector<c10::FunctionSchema> schemas;
  for (const torch::jit::Method& method : module.get_methods())
    schemas.push_back(WithoutSelf(method.function().getSchema()));
  return schemas;
}

}  // namespace

TorchModule::TorchModule(torch::jit::Module module, std::shared_ptr<Executor> executor)
    : module_(std::move(module)),
      executor_(std::move(executor)),
      schemas_(SchemasOf(*module_)),
      bytes_(WeightBytes(*module_)) {}

c10::IValue TorchModule::Call(const std::string& method, std::vector<c10::IValue> inputs) {
  if (!module_) throw CodedError("DISPOSED", "This module has been disposed. Load it again.");
  const auto found = module_->find_method(method);
  if (!found) throw CodedError("INVALID_INPUT", "The module has no method `" + method + "`.");
  const c10::InferenceMode inference;
  return (*found)(std::move(inputs));
}

size_t TorchModule::SetNeuronDevices(int64_t start, int64_t count) {
  if (!module_) throw CodedError("DISPOSED", "This module has been disposed. Load it again.");
  size_t placed = 0;
  for (const c10::IValue& attribute : module_->attributes(/*recurse=*/true)) {
    if (!attribute.isCustomClass()) continue;
    const auto type = attribute.type()->cast<c10::ClassType>();
    torch::jit::Function* place = type ? type->findMethod("set_neuron_devices") : nullptr;
    if (place == nullptr) continue;
    (*place)({attribute, start, count});
    placed++;
  }
  return placed;
}

namespace {

class PlaceJob : public Job {
 public:
  PlaceJob(std::shared_ptr<TorchModule> module, int64_t start, int64_t count)
      : module_(std::move(module)), start_(start), count_(count) {}
  void Run() override { placed_ = module_->SetNeuronDevices(start_, count_); }
  Napi::Value Result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(placed_)); }

 private:
  std::shared_ptr<TorchModule> module_;
  int64_t start_;
  int64_t count_;
  size_t placed_ = 0;
};

class ReleaseJob : public Job {
 public:
  explicit ReleaseJob(std::shared_ptr<TorchModule> module) : module_(std::move(module)) {}
  void Run() override {
    module_->Release();
    ReleaseCachedMemory();  // its weights, and its temporaries
  }
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<TorchModule> module_;
};

/// placeModule(module, start, count): Promise<number>, how many Neuron graphs were placed.
Napi::Value PlaceModule(const Napi::CallbackInfo& info) {
  auto module = Handle<TorchModule>::Unwrap(info[0]);
  Executor& runner = module->executor();
  const int64_t start = info[1].As<Napi::Number>().Int64Value();
  const int64_t count = info[2].As<Napi::Number>().Int64Value();
  return Instance::Of(info.Env()).Submit(runner, std::make_unique<PlaceJob>(std::move(module), start, count));
}

/// callModule(executor, module, method, inputs): Promise<output>
Napi::Value CallModule(const Napi::CallbackInfo& info) {
  auto module = Handle<TorchModule>::Unwrap(info[1]);
  std::string method = info[2].As<Napi::String>();
  std::vector<c10::IValue> inputs = ToInputs(SchemaNamed(module->schemas(), method), info[3].As<Napi::Array>());
  auto callee = [module = std::move(module), method = std::move(method)](std::vector<c10::IValue> given) {
    return module->Call(method, std::move(given));
  };
  return SubmitCall(info[0], std::move(callee), std::move(inputs));
}

/// releaseModule(module): Promise<void>, after the calls that were queued before.
Napi::Value ReleaseModule(const Napi::CallbackInfo& info) {
  auto module = Handle<TorchModule>::Unwrap(info[0]);
  Handle<TorchModule>::Drop(info[0]);
  Executor& runner = module->executor();
  if (runner.closed()) {
    // Nothing can be queued any more; the calls under way hold the module as long as they need it.
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    deferred.Resolve(info.Env().Undefined());
    return deferred.Promise();
  }
  return Instance::Of(info.Env()).Submit(runner, std::make_unique<ReleaseJob>(std::move(module)));
}

}  // namespace

void RegisterTorchModule(Napi::Env env, Napi::Object exports) {
  Export<PlaceModule>(env, exports, "placeModule");
  Export<CallModule>(env, exports, "callModule");
  Export<ReleaseModule>(env, exports, "releaseModule");
}

}  // namespace neuron_blip
