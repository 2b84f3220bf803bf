#include "cores.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "../nrt/nrt_stand_in.h"

namespace stand_in {
namespace {

std::runtime_error StatusError(const char* function, NRT_STATUS status, int core) {
  return std::runtime_error(std::string(function) + " failed: " + nrt_get_status_as_str(status) + " (status " +
                            std::to_string(status) + ") on NeuronCore " + std::to_string(core));
}

}  // namespace

Lease::Lease(uint32_t core, std::string model)
    : core_(core), number_(nrt_stand_in_core(core)), model_(std::move(model)) {
  const NRT_STATUS status = nrt_stand_in_load(core_, model_.c_str());
  if (status == NRT_SUCCESS) return;
  Cores::Get().Release(core_);
  throw StatusError("nrt_load", status, number_);
}

Lease::~Lease() {
  nrt_stand_in_unload(core_, model_.c_str());
  Cores::Get().Release(core_);
}

void Lease::Execute() const {
  const NRT_STATUS status = nrt_stand_in_execute(core_, model_.c_str());
  if (status != NRT_SUCCESS) throw StatusError("nrt_execute", status, number_);
}

Cores& Cores::Get() {
  // Never destroyed: threads may still use it while the process exits.
  static std::mutex& mutex = *new std::mutex;
  static Cores* cores = nullptr;
  const std::lock_guard lock(mutex);
  if (cores == nullptr) {
    const NRT_STATUS status = nrt_init(NRT_FRAMEWORK_TYPE_PYTORCH, "2.9.0", "2.9.0+standin");
    uint32_t count = 0;
    if (status != NRT_SUCCESS || nrt_get_visible_nc_count(&count) != NRT_SUCCESS) {
      throw std::runtime_error(
          "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged to your system logs. "
          "(nrt_init status " +
          std::to_string(status) + ")");
    }
    cores = new Cores(count);
  }
  return *cores;
}

std::vector<uint32_t> Cores::Reserve(Placement placement) {
  const std::lock_guard lock(mutex_);
  const auto total = static_cast<int64_t>(models_.size());
  const int64_t count = placement.count == -1 ? 1 : placement.count;
  if (placement.start < -1 || count < 1 || std::max<int64_t>(placement.start, 0) > total - count) {
    throw std::runtime_error("set_neuron_devices(" + std::to_string(placement.start) + ", " +
                             std::to_string(placement.count) + "): this process has " + std::to_string(total) +
                             " visible NeuronCores.");
  }
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
