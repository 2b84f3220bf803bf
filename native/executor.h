#pragma once

#include <napi.h>

#include <condition_variable>
#include <functional>
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

  /// @param threads how many cores libtorch may use for the work of this executor; 0 leaves libtorch's default.
  explicit Executor(int threads);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor();

  /// Queues a task, which must not throw. Returns false, dropping the task, after Close or Stop.
  bool Post(std::function<void()> task);
  /// Refuses further tasks; the thread ends when the queued ones are done.
  void Close();
  /// Whether further tasks are refused.
  bool closed();
  /// Refuses further tasks, and drops those that are queued.
  void Drop();
  /// Drops what is queued, waits for the running task and joins the thread. Idempotent, callable from any thread but
  /// its own.
  void Stop();

 private:
  void Run(int threads);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::queue<std::function<void()>> tasks_;
  bool closed_ = false;
  std::mutex join_mutex_;
  std::thread thread_;
};

void RegisterExecutor(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
