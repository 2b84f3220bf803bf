#include "process_places.h"

#include <atomic>
#include <memory>

#include "errors.h"

namespace neuron_blip {
namespace {

std::atomic<int> taken{0};

/// Those of one environment, used on its thread alone.
struct OwnPlaces {
  int count = 0;
};

void LeaveAll(void* data) {
  const std::unique_ptr<OwnPlaces> own(static_cast<OwnPlaces*>(data));
  taken -= own->count;
}

Napi::Value Take(const Napi::CallbackInfo& info) {
  const int limit = info[0].As<Napi::Number>().Int32Value();
  int before = taken.load();
  while (before < limit) {
    if (taken.compare_exchange_weak(before, before + 1)) {
      static_cast<OwnPlaces*>(info.Data())->count++;
      return Napi::Boolean::New(info.Env(), true);
    }
  }
  return Napi::Boolean::New(info.Env(), false);
}

Napi::Value Leave(const Napi::CallbackInfo& info) {
  auto* own = static_cast<OwnPlaces*>(info.Data());
  if (own->count > 0) {
    own->count--;
    taken--;
  }
  return info.Env().Undefined();
}

}  // namespace

void RegisterProcessPlaces(Napi::Env env, Napi::Object exports) {
  auto own = std::make_unique<OwnPlaces>();
  exports.Set("takeProcessPlace", Napi::Function::New<Entry<Take>>(env, "takeProcessPlace", own.get()));
  exports.Set("leaveProcessPlace", Napi::Function::New<Entry<Leave>>(env, "leaveProcessPlace", own.get()));
  NAPI_THROW_IF_FAILED_VOID(env, napi_add_env_cleanup_hook(env, LeaveAll, own.get()));
  static_cast<void>(own.release());
}

}  // namespace neuron_blip
