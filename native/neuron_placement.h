#pragma once

#include <ATen/core/ivalue.h>

#include <cstdint>
#include <mutex>
#include <optional>

namespace neuron_blip {

/// A load of a Neuron artifact. While it lives, it is the only one in this process, on whichever thread or in whichever
/// Worker: the core that loads go to by default belongs to the process. Where torch-neuronx has the class
/// `neuron.Runtime`, that core is set for as long, and nothing has to be loaded a second time to be placed.
class NeuronLoad {
 public:
  /// `core`: an index among the visible cores; nothing: wherever the runtime puts it.
  /// Throws CodedError NEURON_CORES_UNAVAILABLE where there is no such core, and what the runtime throws where it
  /// cannot be initialised.
  explicit NeuronLoad(std::optional<int64_t> core);
  ~NeuronLoad();
  NeuronLoad(const NeuronLoad&) = delete;
  NeuronLoad& operator=(const NeuronLoad&) = delete;

  /// Whether what is loaded now comes to the core that was asked for.
  bool placed() const { return runtime_.has_value(); }

 private:
  std::unique_lock<std::mutex> lock_;
  std::optional<c10::IValue> runtime_;
  int64_t earlier_start_ = -1;
  int64_t earlier_count_ = -1;
  bool restores_ = false;
};

}  // namespace neuron_blip
