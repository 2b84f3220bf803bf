#pragma once

#include <napi.h>
#include <torch/csrc/jit/api/compilation_unit.h>

#include <memory>
#include <string>
#include <vector>

namespace neuron_blip {

/// The functions of a source text in TorchScript. Any thread of an executor may call them, several at once.
class TorchFunctions {
 public:
  static constexpr napi_type_tag kTag = {0x6e62'6c69'7000'0005, 0x5463'6846'756e'6374};
  static constexpr const char* kKind = "TorchFunctions";

  /// Compiles all of the text.
  /// @throws torch::jit::ErrorReport for a mistake in it, whose words name the line.
  explicit TorchFunctions(const std::string& source);

  /// @param name one of schemas().
  c10::IValue Call(const std::string& name, std::vector<c10::IValue> inputs) const;
  /// What each function takes and returns.
  const std::vector<c10::FunctionSchema>& schemas() const { return schemas_; }

 private:
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::vector<c10::FunctionSchema> schemas_;
};

void RegisterTorchFunctions(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
