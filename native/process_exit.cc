#include "process_exit.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace neuron_blip {
namespace {

struct Process {
  std::mutex mutex;
  std::vector<std::weak_ptr<Executor>> executors;
  std::atomic<bool> is_exiting{false};
  std::atomic<int> exit_code{0};
};

/// Never destroyed: it is used while static objects are.
Process& ThisProcess() {
  static auto* const process = new Process();
  return *process;
}

std::chrono::milliseconds ExitWait() {
  constexpr int kDefault = 5000;
  const char* text = std::getenv("NEURON_BLIP_EXIT_WAIT_MS");
  int milliseconds = kDefault;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), milliseconds);
  return std::chrono::milliseconds(std::max(milliseconds, 0));
}

void StopAll() {
  std::vector<std::weak_ptr<Executor>> executors;
  {
    const std::lock_guard lock(ThisProcess().mutex);
    executors = ThisProcess().executors;
  }
  StopExecutors(executors);
}

void LeaveIfGivenUp(int exit_code) {
  StopAll();
  if (Executor::given_up() == 0) return;
  static_cast<void>(std::fflush(nullptr));  // nothing can be done about what does not flush
  std::_Exit(exit_code);
}

/// The last function that is registered for the exit is the first to run, before whatever libtorch has registered
/// since.
void LeaveFirst() {
#ifdef __GLIBC__
  on_exit([](int exit_code, void*) { LeaveIfGivenUp(exit_code); }, nullptr);
#else
  std::atexit([] { LeaveIfGivenUp(ThisProcess().exit_code); });
#endif
}

}  // namespace

void WatchProcessExit() {
  static const bool is_watched = [] {
    LeaveFirst();
    return true;
  }();
  static_cast<void>(is_watched);
}

void TrackForExit(const std::shared_ptr<Executor>& executor) {
  const std::lock_guard lock(ThisProcess().mutex);
  auto& executors = ThisProcess().executors;
  std::erase_if(executors, [](const auto& known) { return known.expired(); });
  executors.push_back(executor);
}

void StopExecutors(const std::vector<std::weak_ptr<Executor>>& executors) {
  std::vector<std::shared_ptr<Executor>> alive;
  for (const auto& executor : executors) {
    if (auto held = executor.lock()) alive.push_back(std::move(held));
  }
  for (const auto& executor : alive) executor->Drop();
  const auto deadline = Executor::Clock::now() + ExitWait();
  for (const auto& executor : alive) executor->Stop(deadline);
  if (Executor::given_up() > 0) LeaveFirst();
}

void StopEveryExecutor(int exit_code) {
  ThisProcess().is_exiting = true;
  ThisProcess().exit_code = exit_code;
  StopAll();
}

bool IsProcessExiting() { return ThisProcess().is_exiting; }

}  // namespace neuron_blip
