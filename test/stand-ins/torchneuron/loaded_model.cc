#include "loaded_model.h"

#include <torch/csrc/jit/serialization/import.h>

#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "words.h"

namespace stand_in {
namespace {

// python/torch_neuronx writes this header.
constexpr std::string_view kMagic = "neuron-blip stand-in, not a NEFF";
constexpr size_t kHeaderSize = 1024;

torch::jit::Module ReadGraph(const std::string& neff) {
  if (neff.size() <= kHeaderSize || neff.compare(0, kMagic.size(), kMagic) != 0) {
    // The runtime's log has such a line too, with other numbers.
    std::cerr << "libtorchneuron stand-in: NEFF version: 2.0, features: 0x100 are not supported (only what its own "
                 "torch_neuronx.trace made is)"
              << std::endl;
    throw LoadError(NRT_UNSUPPORTED_NEFF_VERSION);
  }
  std::istringstream archive(neff.substr(kHeaderSize), std::ios::binary);
  torch::jit::Module graph = torch::jit::load(archive, c10::Device(c10::DeviceType::CPU));
  graph.eval();
  return graph;
}

/// The tensors in what a graph returned, in order; torch_neuronx.trace flattens the same way.
void Flatten(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    // A device's outputs are memory of their own, never an input's or a weight's.
    tensors.push_back(value.toTensor().clone(at::MemoryFormat::Contiguous));
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) Flatten(element, tensors);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) Flatten(element, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) Flatten(entry.value(), tensors);
  } else {
    throw std::runtime_error("the stand-in's graph returned a value of type " + std::string(value.tagKind()));
  }
}

}  // namespace

LoadedModel::LoadedModel(const std::string& neff, const MetaNeff& meta, Placement placement)
    : output_count_(meta.output_count()), graph_(ReadGraph(neff)) {
  Cores& cores = Cores::Get();
  const std::vector<uint32_t> chosen = cores.Reserve(placement);
  for (size_t i = 0; i < chosen.size(); i++) {
    try {
      leases_.push_back(std::make_unique<Lease>(chosen[i], meta.name()));
    } catch (...) {
      // The failed lease has released its own core.
      for (size_t rest = i + 1; rest < chosen.size(); rest++) cores.Release(chosen[rest]);
      throw;
    }
  }
}

std::vector<at::Tensor> LoadedModel::Run(const std::vector<at::Tensor>& inputs) {
  leases_[calls_++ % leases_.size()]->Execute();
  std::vector<at::Tensor> outputs;
  Flatten(graph_.forward({inputs.begin(), inputs.end()}), outputs);
  if (outputs.size() != output_count_) {
    throw std::runtime_error("the stand-in's graph returned " + std::to_string(outputs.size()) + " tensors, and not " +
                             std::to_string(output_count_));
  }
  return outputs;
}

}  // namespace stand_in
