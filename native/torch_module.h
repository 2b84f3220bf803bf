#pragma once

#include <napi.h>
#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "executor.h"

namespace neuron_blip {

/// A TorchScript module, bound to the executor on whose thread it is loaded and freed.
class TorchModule {
 public:
  static constexpr napi_type_tag kTag = {0x6e62'6c69'7000'0003, 0x546f'7263'684d'6f64};
  static constexpr const char* kKind = "TorchModule";

  TorchModule(torch::jit::Module module, std::shared_ptr<Executor> executor);

  /// Runs one of the module's methods. On any executor's thread; several may at once.
  /// @throws CodedError DISPOSED after Release; INVALID_INPUT where there is no such method.
  c10::IValue Call(const std::string& method, std::vector<c10::IValue> inputs);
  /// Places the module's Neuron graphs on `count` cores from `start` on, indices among the visible ones. Returns how
  /// many graphs could be placed: those whose class has the method `set_neuron_devices`.
  size_t SetNeuronDevices(int64_t start, int64_t count);
  /// Frees the module. On its own executor's thread, when no other runs it.
  void Release() { module_.reset(); }

  Executor& executor() const { return *executor_; }
  /// What each method takes and returns, without `self`.
  const std::vector<c10::FunctionSchema>& schemas() const { return schemas_; }
  /// Bytes of parameters and buffers.
  size_t bytes() const { return bytes_; }

 private:
  std::optional<torch::jit::Module> module_;
  std::shared_ptr<Executor> executor_;
  std::vector<c10::FunctionSchema> schemas_;
  size_t bytes_;
};

void RegisterTorchModule(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
