#include "instance.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "errors.h"

namespace neuron_blip {
namespace {

/// Every executor of the process, for std::atexit. Never destroyed: it is used while static objects are.
struct AllExecutors {
  std::mutex mutex;
  std::vector<std::weak_ptr<Executor>> executors;
};

AllExecutors& All() {
  static auto* const all = new AllExecutors();
  return *all;
}

void Remember(std::vector<std::weak_ptr<Executor>>& executors, const std::shared_ptr<Executor>& executor) {
  std::erase_if(executors, [](const auto& known) { return known.expired(); });
  executors.push_back(executor);
}

/// Lets every running task end, and none that is queued begin, before waiting for any.
void StopAll(const std::vector<std::weak_ptr<Executor>>& known) {
  std::vector<std::shared_ptr<Executor>> executors;
  for (const auto& executor : known) {
    if (auto alive = executor.lock()) executors.push_back(std::move(alive));
  }
  for (const auto& executor : executors) executor->Drop();
  for (const auto& executor : executors) executor->Stop();
}

void StopEveryExecutor() {
  std::vector<std::weak_ptr<Executor>> executors;
  {
    const std::lock_guard lock(All().mutex);
    executors = All().executors;
  }
  StopAll(executors);
}

napi_value MakeError(napi_env env, const std::string& code, const std::string& message) {
  return ToJsError(env, code, message).Value();
}

}  // namespace

void Instance::Create(Napi::Env env, Napi::Object exports) {
  [[maybe_unused]] static const int registered = std::atexit(StopEveryExecutor);
  env.SetInstanceData(new Instance(env));
  exports.Set("shutdown", Napi::Function::New(
                              env, [](const Napi::CallbackInfo& info) { Instance::Of(info.Env()).StopExecutors(); }));
}

Instance& Instance::Of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

Instance::Instance(Napi::Env env) : env_(env) {
  const Napi::String name = Napi::String::New(env, "neuron_blip completions");
  NAPI_THROW_IF_FAILED_VOID(env, napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                                 this, Settle, &completions_));
  // Idle, the channel must not keep the process alive.
  NAPI_THROW_IF_FAILED_VOID(env, napi_unref_threadsafe_function(env, completions_));
  // Added after the channel's own hook, hence run before it: the threads that use the channel are joined first.
  NAPI_THROW_IF_FAILED_VOID(env, napi_add_env_cleanup_hook(env, CleanUp, this));
}

Instance::~Instance() = default;

void Instance::CleanUp(void* data) {
  auto* instance = static_cast<Instance*>(data);
  instance->StopExecutors();
  napi_release_threadsafe_function(instance->completions_, napi_tsfn_abort);
}

void Instance::StopExecutors() {
  stopped_ = true;
  StopAll(executors_);
}

void Instance::Track(const std::shared_ptr<Executor>& executor) {
  if (stopped_) throw CodedError("DISPOSED", "The process is exiting: no new work can begin.");
  Remember(executors_, executor);
  const std::lock_guard lock(All().mutex);
  Remember(All().executors, executor);
}

Napi::Value Instance::Submit(Executor& executor, std::unique_ptr<Job> job) {
  napi_value promise = nullptr;
  NAPI_THROW_IF_FAILED(env_, napi_create_promise(env_, &job->deferred_, &promise), Napi::Value());

  // std::function must be copyable, hence a shared pointer; the channel takes it over as a raw one.
  const napi_deferred deferred = job->deferred_;
  std::shared_ptr<Job> owned = std::move(job);
  const bool queued = executor.Post([shared = std::move(owned), channel = completions_]() mutable {
    try {
      shared->Run();
    } catch (...) {
      shared->failure_ = DescribeCurrentException();
    }
    // Moved, not copied: the last reference to an executor must not be dropped on its own thread.
    auto* completion = new std::shared_ptr<Job>(std::move(shared));
    // Refused only when the environment is ending: then nobody waits for the result.
    if (napi_call_threadsafe_function(channel, completion, napi_tsfn_nonblocking) != napi_ok) delete completion;
  });
  if (!queued) {
    napi_reject_deferred(env_, deferred,
                         MakeError(env_, "DISPOSED", "This object has been disposed and cannot be used any more."));
    return Napi::Value(env_, promise);
  }
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, completions_);
  return Napi::Value(env_, promise);
}

void Instance::Settle(napi_env raw_env, napi_value /*callback*/, void* context, void* data) {
  const std::unique_ptr<std::shared_ptr<Job>> completion(static_cast<std::shared_ptr<Job>*>(data));
  if (raw_env == nullptr) return;  // the environment is ending
  const Napi::Env env(raw_env);
  const Napi::HandleScope scope(env);
  auto* instance = static_cast<Instance*>(context);
  if (--instance->pending_ == 0) napi_unref_threadsafe_function(env, instance->completions_);

  Job& job = **completion;
  try {
    if (!job.failure_) {
      try {
        const Napi::Value result = Guard(env, [&] { return job.Result(env); });
        napi_resolve_deferred(env, job.deferred_, result);
      } catch (const Napi::Error& error) {
        napi_reject_deferred(env, job.deferred_, error.Value());
      }
      return;
    }
    napi_reject_deferred(env, job.deferred_, MakeError(env, job.failure_->code, job.failure_->message));
  } catch (...) {
    // A Worker that is being terminated can run no JavaScript: there is nobody left to tell.
  }
}

}  // namespace neuron_blip
