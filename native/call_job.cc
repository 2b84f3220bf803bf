#include "call_job.h"

#include <memory>
#include <utility>

#include "executor.h"
#include "handle.h"
#include "instance.h"
#include "module_output.h"
#include "torch_value.h"

namespace neuron_blip {
namespace {

class CallJob : public Job {
 public:
  CallJob(std::shared_ptr<Executor> executor, Callee callee, std::vector<c10::IValue> inputs)
      : executor_(std::move(executor)), callee_(std::move(callee)), inputs_(std::move(inputs)) {}

  void Run() override {
    // Freed here, whatever happens, instead of on the JavaScript thread: one may be the last to hold gigabytes.
    const std::vector<c10::IValue> inputs = std::move(inputs_);
    const Callee callee = std::move(callee_);
    Take(callee(inputs));
  }

 protected:
  /// What was returned; the inputs are there still.
  virtual void Take(c10::IValue value) = 0;

 private:
  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
  Callee callee_;
  std::vector<c10::IValue> inputs_;
};

class ConvertJob : public CallJob {
 public:
  using CallJob::CallJob;
  Napi::Value Result(Napi::Env env) override { return ToJs(env, output_); }

 private:
  void Take(c10::IValue value) override { output_ = TakeApart(std::move(value)); }

  Output output_;
};

class KeepJob : public CallJob {
 public:
  using CallJob::CallJob;
  Napi::Value Result(Napi::Env env) override { return WrapValue(env, std::move(value_), bytes_); }

 private:
  void Take(c10::IValue value) override {
    value.visit([this](const c10::IValue& part) {
      if (part.isTensor()) bytes_ += part.toTensor().numel() * part.toTensor().itemsize();
      return false;
    });
    value_ = std::make_shared<TorchValue>(std::move(value));
  }

  std::shared_ptr<TorchValue> value_;
  size_t bytes_ = 0;
};

template <typename Kind>
Napi::Value SubmitAs(const Napi::Value& handle, Callee callee, std::vector<c10::IValue> inputs) {
  auto executor = Handle<Executor>::Unwrap(handle);
  Executor& runner = *executor;
  return Instance::Of(handle.Env())
      .Submit(runner, std::make_unique<Kind>(std::move(executor), std::move(callee), std::move(inputs)));
}

}  // namespace

Napi::Value SubmitCall(const Napi::Value& executor, Callee callee, std::vector<c10::IValue> inputs) {
  return SubmitAs<ConvertJob>(executor, std::move(callee), std::move(inputs));
}

Napi::Value SubmitKeep(const Napi::Value& executor, Callee callee, std::vector<c10::IValue> inputs) {
  return SubmitAs<KeepJob>(executor, std::move(callee), std::move(inputs));
}

}  // namespace neuron_blip
