#include "cores.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "../nrt/nrt_stand_in.h"
#include "words.h"

namespace stand_in {
Lease::Lease(uint32_t core, std::string model) : core_(core), model_(std::move(model)) {
  const NRT_STATUS status = nrt_stand_in_load(core_, model_.c_str());
  if (status == NRT_SUCCESS) return;
  Cores::Get().Release(core_);
  throw LoadError(status);
}

Lease::~Lease() {
  nrt_stand_in_unload(core_, model_.c_str());
  Cores::Get().Release(core_);
}

void Lease::Execute() const {
  const NRT_STATUS status = nrt_stand_in_execute(core_, model_.c_str());
  if (status != NRT_SUCCESS) throw ExecuteError(status);
}

Cores& Cores::Get() {
  // Never destroyed: threads may still use it while the process exits.
  static std::mutex& mutex = *new std::mutex;
  static Cores* cores = nullptr;
  const std::lock_guard lock(mutex);
  if (cores == nullptr) {
    const NRT_STATUS status = nrt_init(NRT_FRAMEWORK_TYPE_PYTORCH, "2.9.0", "2.9.0+standin");
    uint32_t count = 0;
    if (status != NRT_SUCCESS || nrt_get_visible_vnc_count(&count) != NRT_SUCCESS) throw InitializeError();
    cores = new Cores(count);
  }
  return *cores;
}

void Cores::Check(const char* function, Placement placement) const {
  const auto total = static_cast<int64_t>(models_.size());
  const int64_t count = placement.count == -1 ? 1 : placement.count;
  if (placement.start < -1 || count < 1 || std::max<int64_t>(placement.start, 0) > total - count) {
    throw std::runtime_error(std::string(function) + "(" + std::to_string(placement.start) + ", " +
                             std::to_string(placement.count) + "): this process has " + std::to_string(total) +
                             " visible NeuronCores.");
  }
}

void Cores::SetDefault(Placement placement) {
  const std::lock_guard lock(mutex_);
  Check("set_default_neuron_cores", placement);
  default_ = placement;
}

Placement Cores::GetDefault() {
  const std::lock_guard lock(mutex_);
  return default_;
}

std::vector<uint32_t> Cores::Reserve(Placement placement) {
  const std::lock_guard lock(mutex_);
  if (placement.start == -1 && placement.count == -1) placement = default_;
  Check("set_neuron_devices", placement);
  const int64_t count = placement.count == -1 ? 1 : placement.count;
  std::vector<uint32_t> chosen;
  for (int64_t i = 0; i < count; i++) {
    int64_t core = placement.start + i;
    // min_element finds the first of the least used: linear order.
    if (placement.start == -1) core = std::min_element(models_.begin(), models_.end()) - models_.begin();
    models_[static_cast<size_t>(core)]++;
    chosen.push_back(static_cast<uint32_t>(core));
  }
  return chosen;
}

void Cores::Release(uint32_t core) {
  const std::lock_guard lock(mutex_);
  models_[core]--;
}

}  // namespace stand_in
