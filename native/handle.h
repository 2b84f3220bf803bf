#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "errors.h"

namespace neuron_blip {

/// Wraps a C++ object for JavaScript as an opaque, tagged object: a handle of another kind, or any other value, is
/// refused instead of being read as what it is not. T names its own tag and kind: `static constexpr napi_type_tag kTag`
/// and `static constexpr const char* kKind`.
template <typename T>
class Handle {
 public:
  /// @param bytes native memory behind the handle that V8 cannot see, so that it collects in time.
  static Napi::Object Wrap(Napi::Env env, std::shared_ptr<T> object, size_t bytes = 0) {
    Napi::Object handle = Napi::Object::New(env);
    auto holder = std::make_unique<Holder>(Holder{std::move(object), static_cast<int64_t>(bytes)});
    NAPI_THROW_IF_FAILED(env, napi_wrap(env, handle, holder.get(), Finalize, nullptr, nullptr), Napi::Object());
    const int64_t accounted = holder.release()->bytes;
    Napi::MemoryManagement::AdjustExternalMemory(env, accounted);
    handle.TypeTag(&T::kTag);
    return handle;
  }

  /// @throws CodedError INVALID_INPUT where the value is not a handle of this kind, DISPOSED after Drop.
  static std::shared_ptr<T> Unwrap(const Napi::Value& value) {
    std::shared_ptr<T> object = HolderOf(value).object;
    if (!object) throw CodedError("DISPOSED", std::string("This ") + T::kKind + " has been disposed.");
    return object;
  }

  /// Gives up the handle's reference to the object.
  static void Drop(const Napi::Value& value) {
    Holder& holder = HolderOf(value);
    holder.object.reset();
    Napi::MemoryManagement::AdjustExternalMemory(value.Env(), -std::exchange(holder.bytes, 0));
  }

 private:
  struct Holder {
    std::shared_ptr<T> object;
    int64_t bytes;
  };

  static Holder& HolderOf(const Napi::Value& value) {
    void* data = nullptr;
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag) ||
        napi_unwrap(value.Env(), value, &data) != napi_ok) {
      throw CodedError("INVALID_INPUT", std::string("Expected a ") + T::kKind + ".");
    }
    return *static_cast<Holder*>(data);
  }

  static void Finalize(napi_env env, void* data, void* /*hint*/) {
    const std::unique_ptr<Holder> holder(static_cast<Holder*>(data));
    int64_t adjusted = 0;
    napi_adjust_external_memory(env, -holder->bytes, &adjusted);
  }
};

}  // namespace neuron_blip
