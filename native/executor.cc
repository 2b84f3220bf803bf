#include "executor.h"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>

#include <memory>
#include <utility>

#include "errors.h"
#include "handle.h"
#include "instance.h"

namespace neuron_blip {

Executor::Executor(int threads) : thread_([this, threads] { Run(threads); }) {}

Executor::~Executor() { Stop(); }

bool Executor::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    tasks_.push(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void Executor::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_one();
}

bool Executor::closed() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void Executor::Drop() {
  std::queue<std::function<void()>> dropped;  // destroyed without the lock
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    tasks_.swap(dropped);
  }
  wake_.notify_one();
}

void Executor::Stop() {
  Drop();
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Executor::Run(int threads) {
  // Must come first on the thread: libtorch's setting does not reach threads that have already done parallel work.
  if (threads > 0) at::set_num_threads(threads);
  // Otherwise a module's first two calls take up to three times as long, for profiling and rewriting its graph, and
  // later ones no less than without (full-size parts on a CPU).
  torch::jit::setGraphExecutorOptimize(false);
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop();
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
}

}  // namespace neuron_blip
