// What TorchScript knows as __torch__.torch.classes.neuron.Model.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "cores.h"
#include "loaded_model.h"
#include "meta_neff.h"

namespace stand_in {

class Model : public torch::CustomClassHolder {
 public:
  /// What is pickled: neff, metaneff, and the settings as a sum of these bits. A layout of this stand-in's own.
  using State = std::tuple<std::string, std::string, int64_t>;
  static constexpr int64_t kDynamicBatching = 1;
  static constexpr int64_t kAsyncLoad = 2;
  static constexpr int64_t kLazyLoad = 4;

  /// A model that was just compiled: it comes to a core when it is first called. Throws std::runtime_error.
  Model(std::string neff, std::string meta_neff);

  /// A model that was saved: it comes to a core at once, unless it was saved as lazy. Throws std::exception.
  static c10::intrusive_ptr<Model> Restore(State state);
  State Save() const;

  /// Re-places a model that is loaded; else it will be loaded there.
  void SetNeuronDevices(int64_t start, int64_t count);
  void SetDynamicBatching(bool enable);
  void SetAsyncLoad(bool enable);
  void SetLazyLoad(bool enable);

  /// neuron::forward_v2. Throws std::runtime_error where inputs do not fit or the call fails.
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs);

 private:
  std::shared_ptr<LoadedModel> Load(Placement placement) const;
  std::shared_ptr<LoadedModel> Loaded();
  std::vector<at::Tensor> RunInBatches(LoadedModel& loaded, const std::vector<at::Tensor>& inputs) const;

  const std::string neff_;
  const std::string meta_neff_text_;
  const MetaNeff meta_neff_;
  mutable std::mutex mutex_;  // guards what follows, and is not held during a call
  bool dynamic_batching_ = false;
  bool async_load_ = false;
  bool lazy_load_ = false;
  Placement placement_;
  std::shared_ptr<LoadedModel> loaded_;
  std::future<std::shared_ptr<LoadedModel>> loading_;  // last: its destructor waits for the thread that uses the others
};

}  // namespace stand_in
