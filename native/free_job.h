#pragma once

#include <napi.h>

#include <memory>
#include <utility>

#include "executor.h"
#include "handle.h"
#include "instance.h"

namespace neuron_blip {

/// Frees an object on an executor's thread, when the calls that use it are done: each holds it by itself.
template <typename T>
class FreeJob : public Job {
 public:
  FreeJob(std::shared_ptr<Executor> executor, std::shared_ptr<T> object)
      : executor_(std::move(executor)), object_(std::move(object)) {}

  void Run() override { object_.reset(); }
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
  std::shared_ptr<T> object_;
};

/// Drops a handle and frees its object. Returns a promise of nothing.
/// @param executor a handle of one.
template <typename T>
Napi::Value SubmitFree(const Napi::Value& executor, const Napi::Value& handle) {
  auto runner = Handle<Executor>::Unwrap(executor);
  auto object = Handle<T>::Unwrap(handle);
  Handle<T>::Drop(handle);
  Executor& thread = *runner;
  return Instance::Of(executor.Env())
      .Submit(thread, std::make_unique<FreeJob<T>>(std::move(runner), std::move(object)));
}

}  // namespace neuron_blip
