#pragma once

#include <napi.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace neuron_blip {

/// An error that reaches JavaScript as an Error with a string property `code` (one of NeuronBlipErrorCode in
/// lib/errors.ts).
class CodedError : public std::runtime_error {
 public:
  CodedError(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

inline Napi::Error ToJsError(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// The code and the message of an exception, whatever it is. torch::jit::ErrorReport is not a c10::Error, hence
/// std::exception.
struct Failure {
  std::string code;
  std::string message;
};

/// Call it in a catch block: it describes the exception that is being handled.
Failure DescribeCurrentException();

/// Runs a native entry so that no C++ exception leaves it except as a JavaScript one.
template <typename Body>
auto Guard(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Failure failure = DescribeCurrentException();
    throw ToJsError(env, failure.code, failure.message);
  }
}

/// A native function in the shape that Export takes.
using NativeFunction = Napi::Value (*)(const Napi::CallbackInfo& info);

template <NativeFunction function>
Napi::Value Entry(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return function(info); });
}

/// Adds a guarded native function to the addon's exports.
template <NativeFunction function>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Entry<function>>(env, name));
}

}  // namespace neuron_blip
