#include "runtime.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <utility>

#include "nrt_stand_in.h"

namespace stand_in {
namespace {

void Say(const std::string& line) { std::cerr << line << std::endl; }

void Sleep(double milliseconds) {
  if (milliseconds > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
}

/// NEURON_RT_EXEC_TIMEOUT in milliseconds, where it is set.
std::optional<double> ExecutionTimeout() {
  const char* seconds = std::getenv("NEURON_RT_EXEC_TIMEOUT");
  if (seconds == nullptr || *seconds == '\0') return std::nullopt;
  return std::strtod(seconds, nullptr) * 1000;
}

}  // namespace

Runtime& Runtime::Get() {
  static Runtime& runtime = *new Runtime;
  return runtime;
}

void Runtime::OnFork() noexcept {
  Runtime& runtime = Get();
  if (runtime.state_ != State::kInit) return;
  runtime.state_ = State::kChild;
  // The child shares its parent's locks: it must not keep them when the parent ends.
  for (const auto& core : runtime.cores_) core->claim.Close();
}

NRT_STATUS Runtime::StateStatus() const {
  switch (state_) {
    case State::kInit:
      return NRT_SUCCESS;
    case State::kStart:
      return NRT_UNINITIALIZED;
    case State::kClosed:
      return NRT_CLOSED;
    case State::kChild:
      break;
  }
  Say("libnrt stand-in: Incompatible runtime state: NRT_STATE_CHILD");
  return NRT_FAILURE;
}

NRT_STATUS Runtime::Init() {
  // Checked before the lock, which a thread of the parent may have held when it forked.
  if (state_ == State::kChild) return StateStatus();
  const std::unique_lock lock(mutex_);
  if (state_ != State::kStart) return StateStatus();
  Say(nrt_stand_in_notice());
  const std::optional<std::filesystem::path> directory = Hardware::Find();
  if (!directory) {
    Say("libnrt stand-in: NEURON_BLIP_STAND_IN names no directory: there is no device");
    return NRT_FAILURE;
  }
  hardware_ = std::make_unique<Hardware>(*directory);
  const uint32_t total = hardware_->TotalCores();
  const auto requested = RequestedCores(total);
  NRT_STATUS status = NRT_SUCCESS;
  if (const auto* request = std::get_if<CoreRequest>(&requested)) {
    const uint32_t begin = request->first.value_or(0);
    const uint32_t end = request->first ? begin : total - request->count;
    status = NRT_RESOURCE;
    for (uint32_t first = begin; first <= end && status != NRT_SUCCESS; first++) status = Claim(first, request->count);
  } else {
    status = std::get<NRT_STATUS>(requested);
  }
  if (status != NRT_SUCCESS) {
    Say("libnrt stand-in: no cores for process " + std::to_string(getpid()) + ": " + nrt_get_status_as_str(status));
    return status;
  }
  static const bool watches_forks = pthread_atfork(nullptr, nullptr, &Runtime::OnFork) == 0;
  if (!watches_forks) return NRT_FAILURE;
  state_ = State::kInit;
  return NRT_SUCCESS;
}

NRT_STATUS Runtime::Claim(uint32_t first, uint32_t count) {
  std::vector<std::unique_ptr<Core>> claimed;
  for (uint32_t number = first; number < first + count; number++) {
    auto core = std::make_unique<Core>(number, hardware_->OpenLock(number));
    if (!core->claim.TryLock()) return NRT_RESOURCE;
    claimed.push_back(std::move(core));
  }
  for (const auto& core : claimed) core->claim.Replace(std::to_string(getpid()) + "\n");
  cores_ = std::move(claimed);
  return NRT_SUCCESS;
}

void Runtime::Close() {
  if (state_ == State::kChild) return;
  const std::unique_lock lock(mutex_);
  if (state_ != State::kInit) return;
  state_ = State::kClosed;
  cores_.clear();
}

NRT_STATUS Runtime::TotalCores(uint32_t& count) {
  const std::optional<std::filesystem::path> directory = Hardware::Find();
  if (!directory) return NRT_FAILURE;
  count = Hardware(*directory).TotalCores();
  return NRT_SUCCESS;
}

NRT_STATUS Runtime::VisibleCores(uint32_t& count) {
  if (state_ == State::kChild) return StateStatus();
  const std::shared_lock lock(mutex_);
  if (state_ == State::kInit) {
    count = static_cast<uint32_t>(cores_.size());
    return NRT_SUCCESS;
  }
  uint32_t total = 0;
  if (const NRT_STATUS status = TotalCores(total); status != NRT_SUCCESS) return status;
  const auto requested = RequestedCores(total);
  if (const auto* status = std::get_if<NRT_STATUS>(&requested)) return *status;
  count = std::get<CoreRequest>(requested).count;
  return NRT_SUCCESS;
}

NRT_STATUS Runtime::Check(uint32_t index) const {
  if (const NRT_STATUS status = StateStatus(); status != NRT_SUCCESS) return status;
  return index < cores_.size() ? NRT_SUCCESS : NRT_INVALID;
}

std::optional<uint32_t> Runtime::CoreNumber(uint32_t index) {
  if (state_ == State::kChild) return std::nullopt;
  const std::shared_lock lock(mutex_);
  if (Check(index) != NRT_SUCCESS) return std::nullopt;
  return cores_[index]->number;
}

NRT_STATUS Runtime::Load(uint32_t index, const std::string& model) {
  if (state_ == State::kChild) return StateStatus();
  const std::shared_lock lock(mutex_);
  if (const NRT_STATUS status = Check(index); status != NRT_SUCCESS) return status;
  const uint32_t core = cores_[index]->number;
  const NRT_STATUS fault = hardware_->TakeFault(core, "load_fault");
  if (fault == NRT_SUCCESS) hardware_->Log("load", core, model);
  return fault;
}

void Runtime::Unload(uint32_t index, const std::string& model) {
  if (state_ == State::kChild) return;
  const std::shared_lock lock(mutex_);
  if (Check(index) == NRT_SUCCESS) hardware_->Log("unload", cores_[index]->number, model);
}

NRT_STATUS Runtime::Execute(uint32_t index, const std::string& model) {
  if (state_ == State::kChild) return StateStatus();
  const std::shared_lock lock(mutex_);
  if (const NRT_STATUS status = Check(index); status != NRT_SUCCESS) return status;
  Core& core = *cores_[index];
  hardware_->Log("begin", core.number, model);
  const NRT_STATUS status = Run(core);
  hardware_->Log("end", core.number, model, status);
  return status;
}

NRT_STATUS Runtime::Run(Core& core) {
  Hardware::Latency latency{};
  {
    const std::lock_guard busy(core.busy);
    if (const std::optional<double> hang = hardware_->TakeHang(core.number)) {
      const double timeout = ExecutionTimeout().value_or(*hang);
      Sleep(std::min(*hang, timeout));
      if (timeout < *hang) return NRT_TIMEOUT;
    }
    if (const NRT_STATUS fault = hardware_->TakeFault(core.number, "fault"); fault != NRT_SUCCESS) return fault;
    latency = hardware_->CallLatency();
    Sleep(latency.exclusive);
  }
  Sleep(latency.shared);
  return NRT_SUCCESS;
}

}  // namespace stand_in
