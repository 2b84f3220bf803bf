// A model that is on its cores.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cores.h"
#include "meta_neff.h"

namespace stand_in {

class LoadedModel {
 public:
  /// Loads what is in a stand-in's "NEFF" and places it. Throws std::exception.
  LoadedModel(const std::string& neff, const MetaNeff& meta, Placement placement);

  /// Runs inputs that have been checked; each call goes to the next of the model's cores. May be called from several
  /// threads.
  std::vector<at::Tensor> Run(const std::vector<at::Tensor>& inputs);

 private:
  const size_t output_count_;
  torch::jit::Module graph_;
  std::vector<std::unique_ptr<Lease>> leases_;
  std::atomic<uint32_t> calls_ = 0;
};

}  // namespace stand_in
