#include "meta_neff.h"

#include <array>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "json.h"

namespace stand_in {
namespace {

constexpr std::array<std::pair<std::string_view, c10::ScalarType>, 9> kDtypes{{
    {"float32", c10::ScalarType::Float},
    {"float16", c10::ScalarType::Half},
    {"bfloat16", c10::ScalarType::BFloat16},
    {"float64", c10::ScalarType::Double},
    {"int64", c10::ScalarType::Long},
    {"int32", c10::ScalarType::Int},
    {"int8", c10::ScalarType::Char},
    {"uint8", c10::ScalarType::Byte},
    {"bool", c10::ScalarType::Bool},
}};

c10::ScalarType ParseDtype(const std::string& name) {
  for (const auto& [known, dtype] : kDtypes) {
    if (known == name) return dtype;
  }
  throw std::runtime_error("the stand-in for the Neuron runtime has no dtype " + name);
}

std::string Describe(c10::ScalarType dtype, c10::IntArrayRef shape) {
  std::ostringstream text;
  std::string_view name = c10::toString(dtype);
  for (const auto& [known, value] : kDtypes) {
    if (value == dtype) name = known;
  }
  text << name << " [";
  for (size_t i = 0; i < shape.size(); i++) text << (i > 0 ? ", " : "") << shape[i];
  text << ']';
  return text.str();
}

}  // namespace

MetaNeff::MetaNeff(const std::string& json) {
  const Json meta = Json::Parse(json);
  name_ = meta["name"].string();
  output_count_ = static_cast<size_t>(meta["outputs"].number());
  for (const Json& input : meta["inputs"].array()) {
    InputSpec spec{input["name"].string(), ParseDtype(input["dtype"].string()), {}};
    for (const Json& size : input["shape"].array()) spec.shape.push_back(static_cast<int64_t>(size.number()));
    inputs_.push_back(std::move(spec));
  }
}

void MetaNeff::Check(const std::vector<at::Tensor>& tensors, bool any_batch) const {
  if (tensors.size() != inputs_.size()) {
    throw std::runtime_error("The Neuron model " + name_ + " was compiled for " + std::to_string(inputs_.size()) +
                             " inputs, and was given " + std::to_string(tensors.size()) + ".");
  }
  for (size_t i = 0; i < tensors.size(); i++) {
    const InputSpec& spec = inputs_[i];
    const at::Tensor& tensor = tensors[i];
    std::vector<int64_t> expected = spec.shape;
    if (any_batch && !expected.empty() && tensor.dim() > 0) {
      expected[0] = tensor.size(0);
      if (tensor.size(0) != tensors[0].size(0) || tensor.size(0) == 0) {
        throw std::runtime_error("Dynamic batching needs inputs of one batch size: input 0 of " + name_ + " has " +
                                 std::to_string(tensors[0].size(0)) + " rows, input " + std::to_string(i) + " (" +
                                 spec.name + ") " + std::to_string(tensor.size(0)) + ".");
      }
    }
    if (tensor.scalar_type() != spec.dtype || tensor.sizes() != c10::IntArrayRef(expected)) {
      throw std::runtime_error("Input " + std::to_string(i) + " (" + spec.name + ") of the Neuron model " + name_ +
                               " was compiled as " + Describe(spec.dtype, spec.shape) + ", and was given as " +
                               Describe(tensor.scalar_type(), tensor.sizes()) + ".");
    }
    if (!tensor.device().is_cpu()) {
      throw std::runtime_error("Input " + std::to_string(i) + " (" + spec.name + ") is on " + tensor.device().str() +
                               ": the stand-in for the Neuron runtime takes CPU tensors.");
    }
  }
}

int64_t MetaNeff::BatchSize() const {
  for (const InputSpec& input : inputs_) {
    if (input.shape.empty() || input.shape[0] != inputs_[0].shape[0]) {
      throw std::runtime_error("Dynamic batching needs inputs that share dimension 0; those of the Neuron model " +
                               name_ + " were compiled as " + Describe(inputs_[0].dtype, inputs_[0].shape) + " and " +
                               Describe(input.dtype, input.shape) + ".");
    }
  }
  if (inputs_.empty()) throw std::runtime_error("Dynamic batching needs inputs; " + name_ + " has none.");
  return inputs_[0].shape[0];
}

}  // namespace stand_in
