#include "executor.h"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>

#include <atomic>
#include <memory>
#include <utility>

#include "caching_allocator.h"
#include "errors.h"
#include "handle.h"
#include "instance.h"

namespace neuron_blip {

namespace {

std::atomic<int> threads_given_up{0};

}  // namespace

Executor::Executor(int threads)
    : thread_([state = state_, threads] {
        Run(*state, threads);
        const std::lock_guard lock(state->mutex);
        state->has_ended = true;
        if (state->given_up) threads_given_up--;
        state->ended.notify_all();
      }) {}

Executor::~Executor() {
  // Its last reference may be dropped on its own thread, by a task that outlived everything else.
  if (thread_.get_id() == std::this_thread::get_id()) thread_.detach();
  Stop(Clock::time_point::max());
}

bool Executor::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->closed) return false;
    state_->tasks.push(std::move(task));
  }
  state_->wake.notify_one();
  return true;
}

void Executor::Close() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
  }
  state_->wake.notify_one();
}

bool Executor::closed() {
  const std::lock_guard lock(state_->mutex);
  return state_->closed;
}

void Executor::Drop() {
  std::queue<std::function<void()>> dropped;  // destroyed without the lock
  {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
    state_->tasks.swap(dropped);
  }
  state_->wake.notify_one();
}

void Executor::Stop(Clock::time_point deadline) {
  Drop();
  const std::lock_guard joining(join_mutex_);
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(state_->mutex);
    const auto has_ended = [this] { return state_->has_ended; };
    if (deadline == Clock::time_point::max()) {
      state_->ended.wait(lock, has_ended);
    } else if (!state_->ended.wait_until(lock, deadline, has_ended)) {
      state_->given_up = true;
      threads_given_up++;
      thread_.detach();
      return;
    }
  }
  thread_.join();
}

int Executor::given_up() { return threads_given_up; }

void Executor::Run(State& state, int threads) {
  // Must come first on the thread: libtorch's setting does not reach threads that have already done parallel work.
  if (threads > 0) at::set_num_threads(threads);
  // Otherwise a module's first two calls take up to three times as long, for profiling and rewriting its graph, and
  // later ones no less than without (full-size parts on a CPU).
  torch::jit::setGraphExecutorOptimize(false);
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(state.mutex);
      state.wake.wait(lock, [&state] { return state.closed || !state.tasks.empty(); });
      if (state.tasks.empty()) return;
      task = std::move(state.tasks.front());
      state.tasks.pop();
    }
    task();
  }
}

namespace {

Napi::Value CreateExecutor(const Napi::CallbackInfo& info) {
  auto executor = std::make_shared<Executor>(info[0].As<Napi::Number>().Int32Value());
  Instance::Of(info.Env()).Track(executor);
  return Handle<Executor>::Wrap(info.Env(), std::move(executor));
}

/// Keeps the executor until it has run: a promise must not be left unsettled because JavaScript dropped its handle.
class CloseJob : public Job {
 public:
  explicit CloseJob(std::shared_ptr<Executor> executor) : executor_(std::move(executor)) {}
  void Run() override {}
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<Executor> executor_;
};

class TrimJob : public Job {
 public:
  explicit TrimJob(std::shared_ptr<Executor> executor) : executor_(std::move(executor)) {}
  void Run() override { ReturnFreedMemory(); }
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
};

/// returnFreedMemory(executor): Promise<void>
Napi::Value ReturnFreed(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  Executor& runner = *executor;
  return Instance::Of(info.Env()).Submit(runner, std::make_unique<TrimJob>(std::move(executor)));
}

/// Resolves when everything queued before is done. Later work is refused.
Napi::Value CloseExecutor(const Napi::CallbackInfo& info) {
  const auto executor = Handle<Executor>::Unwrap(info[0]);
  Napi::Value promise = Instance::Of(info.Env()).Submit(*executor, std::make_unique<CloseJob>(executor));
  executor->Close();
  return promise;
}

}  // namespace

void RegisterExecutor(Napi::Env env, Napi::Object exports) {
  Export<CreateExecutor>(env, exports, "createExecutor");
  Export<CloseExecutor>(env, exports, "closeExecutor");
  Export<ReturnFreed>(env, exports, "returnFreedMemory");
}

}  // namespace neuron_blip
