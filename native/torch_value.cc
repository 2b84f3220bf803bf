#include "torch_value.h"

#include <memory>
#include <utility>

#include "errors.h"
#include "free_job.h"
#include "handle.h"

namespace neuron_blip {
namespace {

/// releaseValue(executor, value): Promise<void>
Napi::Value ReleaseValue(const Napi::CallbackInfo& info) { return SubmitFree<TorchValue>(info[0], info[1]); }

}  // namespace

Napi::Object WrapValue(Napi::Env env, std::shared_ptr<TorchValue> value, size_t bytes) {
  return Handle<TorchValue>::Wrap(env, std::move(value), bytes);
}

void RegisterTorchValue(Napi::Env env, Napi::Object exports) { Export<ReleaseValue>(env, exports, "releaseValue"); }

}  // namespace neuron_blip
