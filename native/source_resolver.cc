#include "source_resolver.h"

#include <ATen/core/jit_type.h>
#include <torch/csrc/jit/frontend/builtin_functions.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/custom_class.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "dtype.h"
#include "errors.h"

namespace neuron_blip {
namespace {

using torch::jit::GraphFunction;
using torch::jit::SourceRange;
using torch::jit::SugaredValuePtr;

/// Those of quantised tensors, too, which JavaScript has no arrays for.
std::optional<c10::ScalarType> SourceDtype(const std::string& name) {
  if (name == "qint8") return c10::ScalarType::QInt8;
  if (name == "quint8") return c10::ScalarType::QUInt8;
  return FindDtype(name);
}

/// Null where it is the name of no dtype. TorchScript's dtypes are ints.
SugaredValuePtr DtypeConstant(const std::string& name, GraphFunction& function, const SourceRange& range) {
  const auto type = SourceDtype(name);
  if (!type) return nullptr;
  return std::make_shared<torch::jit::SimpleValue>(
      torch::jit::insertConstant(*function.graph(), static_cast<int64_t>(*type), range));
}

/// The operators of a namespace.
struct Operators final : torch::jit::BuiltinModule {
  explicit Operators(const std::string& name) : BuiltinModule(name), prefix(name + "::") {}

  bool hasAttr(const SourceRange& /*range*/, GraphFunction& /*function*/, const std::string& field) override {
    const auto symbol = c10::Symbol::fromQualString(prefix + field);
    return !torch::jit::getAllOperatorsFor(symbol).empty() || !torch::jit::getAllBuiltinFunctionsFor(symbol).empty();
  }

  std::string prefix;
};

struct Torch final : torch::jit::SugaredValue {
  std::string kind() const override { return "module"; }
  SugaredValuePtr attr(const SourceRange& range, GraphFunction& function, const std::string& field) override {
    if (auto dtype = DtypeConstant(field, function, range)) return dtype;
    return aten->attr(range, function, field);
  }
  bool hasAttr(const SourceRange& range, GraphFunction& function, const std::string& field) override {
    return aten->hasAttr(range, function, field);
  }

  std::shared_ptr<Operators> aten = std::make_shared<Operators>("aten");
};

struct Ops final : torch::jit::SugaredValue {
  std::string kind() const override { return "namespace of operators"; }
  SugaredValuePtr attr(const SourceRange& /*range*/, GraphFunction& /*function*/, const std::string& field) override {
    return std::make_shared<Operators>(field);
  }
};

struct Names final : torch::jit::Resolver {
  SugaredValuePtr resolveValue(const std::string& name, GraphFunction& function, const SourceRange& range) override {
    if (name == "torch") return std::make_shared<Torch>();
    if (name == "ops") return std::make_shared<Ops>();
    return DtypeConstant(name, function, range);
  }
  c10::TypePtr resolveType(const std::string& name, const SourceRange& /*range*/) override {
    if (name != "PackedLinear") return nullptr;
    return torch::getCustomClass("__torch__.torch.classes.quantized.LinearPackedParamsBase");
  }
};

}  // namespace

torch::jit::ResolverPtr SourceResolver() { return std::make_shared<Names>(); }

}  // namespace neuron_blip
