#include "model.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace stand_in {

Model::Model(std::string neff, std::string meta_neff)
    : neff_(std::move(neff)), meta_neff_text_(std::move(meta_neff)), meta_neff_(meta_neff_text_) {}

c10::intrusive_ptr<Model> Model::Restore(State state) {
  auto model = c10::make_intrusive<Model>(std::move(std::get<0>(state)), std::move(std::get<1>(state)));
  const int64_t settings = std::get<2>(state);
  model->dynamic_batching_ = (settings & kDynamicBatching) != 0;
  model->async_load_ = (settings & kAsyncLoad) != 0;
  model->lazy_load_ = (settings & kLazyLoad) != 0;
  if (model->lazy_load_) return model;
  if (model->async_load_) {
    model->loading_ = std::async(std::launch::async, [raw = model.get()] { return raw->Load({}); });
  } else {
    model->loaded_ = model->Load({});
  }
  return model;
}

Model::State Model::Save() const {
  const std::lock_guard lock(mutex_);
  const int64_t settings =
      (dynamic_batching_ ? kDynamicBatching : 0) | (async_load_ ? kAsyncLoad : 0) | (lazy_load_ ? kLazyLoad : 0);
  return {neff_, meta_neff_text_, settings};
}

std::shared_ptr<LoadedModel> Model::Load(Placement placement) const {
  return std::make_shared<LoadedModel>(neff_, meta_neff_, placement);
}

std::shared_ptr<LoadedModel> Model::Loaded() {
  const std::lock_guard lock(mutex_);
  if (loading_.valid()) loaded_ = loading_.get();
  if (!loaded_) loaded_ = Load(placement_);
  return loaded_;
}

void Model::SetNeuronDevices(int64_t start, int64_t count) {
  const std::lock_guard lock(mutex_);
  if (loading_.valid()) loaded_ = loading_.get();
  placement_ = {start, count};
  if (!loaded_) return;
  loaded_.reset();
  loaded_ = Load(placement_);
}

void Model::SetDynamicBatching(bool enable) {
  if (enable) meta_neff_.BatchSize();  // throws where the inputs have no common one
  const std::lock_guard lock(mutex_);
  dynamic_batching_ = enable;
}

void Model::SetAsyncLoad(bool enable) {
  const std::lock_guard lock(mutex_);
  async_load_ = enable;
}

void Model::SetLazyLoad(bool enable) {
  const std::lock_guard lock(mutex_);
  lazy_load_ = enable;
}

std::vector<at::Tensor> Model::Forward(const std::vector<at::Tensor>& inputs) {
  // Not InferenceMode: in Python, what comes back may be changed in place outside of it.
  const at::NoGradGuard no_grad;
  const bool any_batch = [this] {
    const std::lock_guard lock(mutex_);
    return dynamic_batching_;
  }();
  const std::shared_ptr<LoadedModel> loaded = Loaded();
  meta_neff_.Check(inputs, any_batch);
  if (!any_batch || inputs[0].size(0) == meta_neff_.BatchSize()) return loaded->Run(inputs);
  return RunInBatches(*loaded, inputs);
}

std::vector<at::Tensor> Model::RunInBatches(LoadedModel& loaded, const std::vector<at::Tensor>& inputs) const {
  const int64_t compiled = meta_neff_.BatchSize();
  const int64_t rows = inputs[0].size(0);
  std::vector<std::vector<at::Tensor>> chunks(meta_neff_.output_count());  // by output
  for (int64_t start = 0; start < rows; start += compiled) {
    const int64_t size = std::min(compiled, rows - start);
    std::vector<at::Tensor> chunk;
    for (const at::Tensor& input : inputs) {
      at::Tensor part = input.narrow(0, start, size);
      if (size < compiled) {
        std::vector<int64_t> padding = input.sizes().vec();
        padding[0] = compiled - size;
        part = at::cat({part, at::zeros(padding, input.options())});
      }
      chunk.push_back(std::move(part));
    }
    const std::vector<at::Tensor> outputs = loaded.Run(chunk);
    for (size_t i = 0; i < outputs.size(); i++) {
      if (outputs[i].dim() == 0 || outputs[i].size(0) != compiled) {
        throw std::runtime_error("Dynamic batching needs outputs that share dimension 0 with the inputs; output " +
                                 std::to_string(i) + " of " + meta_neff_.name() + " does not.");
      }
      chunks[i].push_back(outputs[i].narrow(0, 0, size));
    }
  }
  std::vector<at::Tensor> joined;
  joined.reserve(chunks.size());
  for (const std::vector<at::Tensor>& parts : chunks) joined.push_back(at::cat(parts));
  return joined;
}

}  // namespace stand_in
