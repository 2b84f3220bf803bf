#pragma once

#include <napi.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "errors.h"
#include "executor.h"

namespace neuron_blip {

/// Work for an executor's thread whose outcome settles a promise on the JavaScript thread.
/// It holds no JavaScript value but the promise, so that it may be dropped on any thread.
class Job {
 public:
  virtual ~Job() = default;
  /// On the executor's thread. Exceptions become the promise's rejection.
  virtual void Run() = 0;
  /// On the JavaScript thread, after Run returned: what the promise resolves to.
  virtual Napi::Value Result(Napi::Env env) = 0;

 private:
  friend class Instance;
  napi_deferred deferred_ = nullptr;
  std::optional<Failure> failure_;
};

/// What the addon keeps for one JavaScript environment (the main thread, or one Worker): its executors and the channel
/// on which their results come back. Everything stops when the environment ends, in whichever way:
/// - natural exit and a Worker's end run the environment's clean-up hook;
/// - process.exit() and an uncaught exception do not: lib/torch/native.ts calls `shutdown` before every handler of
///   "exit";
/// - whatever escapes both is caught when the process exits: see process_exit.h.
class Instance {
 public:
  static void Create(Napi::Env env, Napi::Object exports);
  static Instance& Of(Napi::Env env);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  /// Remembers an executor, to be stopped with the environment.
  /// @throws CodedError DISPOSED where the environment is ending already.
  void Track(const std::shared_ptr<Executor>& executor);
  /// Queues a job and returns the promise of its result; rejects with DISPOSED where the executor is closed.
  Napi::Value Submit(Executor& executor, std::unique_ptr<Job> job);

  /// Waits for the running tasks, and gives up those that go on for too long: see process_exit.h.
  void StopExecutors();

 private:
  /// The way back to the JavaScript thread, shared with the threads: one that was given up finds it closed.
  class Channel {
   public:
    explicit Channel(napi_threadsafe_function function) : function_(function) {}
    /// Whether the completion was taken over.
    bool Send(void* completion);
    void Close();

   private:
    std::mutex mutex_;
    napi_threadsafe_function function_;
    bool is_open_ = true;
  };

  explicit Instance(Napi::Env env);
  static void Settle(napi_env env, napi_value callback, void* context, void* data);
  static void CleanUp(void* data);

  Napi::Env env_;
  napi_threadsafe_function completions_ = nullptr;
  std::shared_ptr<Channel> channel_;
  size_t pending_ = 0;
  bool stopped_ = false;
  std::vector<std::weak_ptr<Executor>> executors_;
};

}  // namespace neuron_blip
