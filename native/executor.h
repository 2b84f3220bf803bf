#pragma once

#include <napi.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>

namespace neuron_blip {

/// One thread that runs tasks in order: a replica's. A thread of the addon's own, because libuv's four serve files and
/// DNS, and every thread that calls OpenMP gets a team of its own.
class Executor {
 public:
  static constexpr napi_type_tag kTag = {0x6e62'6c69'7000'0001, 0x4578'6563'7574'6f72};
  static constexpr const char* kKind = "Executor";
  using Clock = std::chrono::steady_clock;

  /// @param threads how many cores libtorch may use for the work of this executor; 0 leaves libtorch's default.
  explicit Executor(int threads);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  /// Drops what is queued and waits for the running task, unless the thread was given up.
  ~Executor();

  /// Queues a task, which must not throw. Returns false, dropping the task, after Close or Stop.
  bool Post(std::function<void()> task);
  /// Refuses further tasks; the thread ends when the queued ones are done.
  void Close();
  /// Whether further tasks are refused.
  bool closed();
  /// Refuses further tasks, and drops those that are queued.
  void Drop();
  /// Drops what is queued and joins the thread when the running task is done. One that is not done by the deadline is
  /// given up: its thread goes on by itself, and ends with the task, if ever. Idempotent.
  void Stop(Clock::time_point deadline);

  /// How many threads were given up and have not ended since, in the whole process.
  static int given_up();

 private:
  /// What the thread works with, which outlives the executor where the thread was given up.
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    std::condition_variable ended;
    std::queue<std::function<void()>> tasks;
    bool closed = false;
    bool has_ended = false;
    bool given_up = false;
  };

  static void Run(State& state, int threads);

  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::mutex join_mutex_;
  std::thread thread_;
};

void RegisterExecutor(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
