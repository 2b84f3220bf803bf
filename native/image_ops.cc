#include "image_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"
#include "resample.h"

namespace neuron_blip {
namespace {

constexpr const char* kTooLarge = "There is not enough memory to resize the picture.";

CodedError Invalid(const std::string& message) { return CodedError("INVALID_INPUT", "resizeBicubic: " + message); }

int SizeArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= 1 && number <= std::numeric_limits<int>::max()) || number != std::floor(number)) {
    const std::string got = value.IsNumber() ? value.ToString().Utf8Value() : "something else";
    throw Invalid(std::string(name) + " must be a whole number of at least 1, not " + got + ".");
  }
  return static_cast<int>(number);
}

/// A picture and the size it shall have.
struct ResizeTask {
  const uint8_t* pixels;
  int width;
  int height;
  int channels;
  int out_width;
  int out_height;
};

/// Resizes on libuv's thread pool: the work holds no lock, no libtorch and no JavaScript value, and always ends.
class ResizeWorker : public Napi::AsyncWorker {
 public:
  /// @param array what holds the task's pixels. It is copied on this thread, since JavaScript may detach or shrink its
  /// buffer while the work is under way; where the caller promises that nobody can (`borrow`), it is kept alive and
  /// read in place.
  ResizeWorker(Napi::Env env, const ResizeTask& task, const Napi::Uint8Array& array, bool borrow)
      : Napi::AsyncWorker(env, "neuron_blip_resize"), deferred_(Napi::Promise::Deferred::New(env)), task_(task) {
    if (borrow) {
      borrowed_ = Napi::Persistent(array.As<Napi::Object>());
    } else {
      copy_.assign(task.pixels, task.pixels + array.ElementLength());
      task_.pixels = copy_.data();
    }
  }

  Napi::Promise Promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_ =
          ResizeBicubic(task_.pixels, task_.width, task_.height, task_.channels, task_.out_width, task_.out_height);
    } catch (const std::bad_alloc&) {
      Fail("OUT_OF_MEMORY", kTooLarge);
    } catch (const std::length_error&) {  // beyond what memory can be addressed
      Fail("OUT_OF_MEMORY", kTooLarge);
    } catch (const std::exception& error) {
      Fail("INVALID_INPUT", error.what());
    } catch (...) {
      Fail("EXECUTION_FAILED", "The native addon caught an unknown exception.");
    }
  }

  void OnOK() override {
    try {
      Napi::Uint8Array array = Napi::Uint8Array::New(Env(), result_.size());
      std::copy(result_.begin(), result_.end(), array.Data());
      deferred_.Resolve(array);
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }

  void OnError(const Napi::Error& error) override {
    deferred_.Reject(ToJsError(Env(), code_, error.Message()).Value());
  }

 private:
  void Fail(const char* code, const std::string& message) {
    code_ = code;
    SetError(message);
  }

  Napi::Promise::Deferred deferred_;
  ResizeTask task_;
  std::vector<uint8_t> copy_;
  Napi::ObjectReference borrowed_;
  std::vector<uint8_t> result_;
  std::string code_;
};

/// resizeBicubic(pixels, width, height, channels, outWidth, outHeight, borrow): Promise<Uint8Array>
Napi::Value ResizeBicubicEntry(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Invalid("pixels must be a Uint8Array.");
  }
  const auto pixels = info[0].As<Napi::Uint8Array>();
  ResizeTask task{};
  task.pixels = pixels.Data();
  task.width = SizeArgument(info, 1, "width");
  task.height = SizeArgument(info, 2, "height");
  task.channels = SizeArgument(info, 3, "channels");
  task.out_width = SizeArgument(info, 4, "outWidth");
  task.out_height = SizeArgument(info, 5, "outHeight");
  if (task.channels != 3 && task.channels != 4) {
    throw Invalid("channels must be 3 (RGB) or 4 (RGBA), not " + std::to_string(task.channels) + ".");
  }
  // Two sizes of up to 31 bits and a factor of up to 4 fit into 64 bits.
  const uint64_t expected =
      static_cast<uint64_t>(task.width) * static_cast<uint64_t>(task.height) * static_cast<uint64_t>(task.channels);
  if (pixels.ElementLength() != expected) {
    throw Invalid("a picture of " + std::to_string(task.width) + " x " + std::to_string(task.height) + " with " +
                  std::to_string(task.channels) + " channels has " + std::to_string(expected) + " bytes, not " +
                  std::to_string(pixels.ElementLength()) + ".");
  }

  const bool borrow = info[6].IsBoolean() && info[6].As<Napi::Boolean>();
  auto worker = std::make_unique<ResizeWorker>(info.Env(), task, pixels, borrow);
  const Napi::Promise promise = worker->Promise();
  worker->Queue();
  static_cast<void>(worker.release());  // deletes itself once it has settled the promise
  return promise;
}

}  // namespace

void RegisterImageOps(Napi::Env env, Napi::Object exports) {
  Export<ResizeBicubicEntry>(env, exports, "resizeBicubic");
}

}  // namespace neuron_blip
