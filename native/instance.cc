#include "instance.h"

#include <mutex>
#include <utility>

#include "errors.h"
#include "process_exit.h"

namespace neuron_blip {
namespace {

napi_value MakeError(napi_env env, const std::string& code, const std::string& message) {
  return ToJsError(env, code, message).Value();
}

/// shutdown(exitCode, isProcess): stops the executors of this environment, or of the process, which then ends with it.
Napi::Value Shutdown(const Napi::CallbackInfo& info) {
  if (info[1].As<Napi::Boolean>().Value()) StopEveryExecutor(info[0].As<Napi::Number>().Int32Value());
  Instance::Of(info.Env()).StopExecutors();
  return info.Env().Undefined();
}

}  // namespace

void Instance::Create(Napi::Env env, Napi::Object exports) {
  WatchProcessExit();
  env.SetInstanceData(new Instance(env));
  Export<Shutdown>(env, exports, "shutdown");
}

Instance& Instance::Of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

Instance::Instance(Napi::Env env) : env_(env) {
  const Napi::String name = Napi::String::New(env, "neuron_blip completions");
  NAPI_THROW_IF_FAILED_VOID(env, napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                                 this, Settle, &completions_));
  // Idle, the channel must not keep the process alive.
  NAPI_THROW_IF_FAILED_VOID(env, napi_unref_threadsafe_function(env, completions_));
  channel_ = std::make_shared<Channel>(completions_);
  // Added after the channel's own hook, hence run before it: the threads that use the channel are joined first.
  NAPI_THROW_IF_FAILED_VOID(env, napi_add_env_cleanup_hook(env, CleanUp, this));
}

Instance::~Instance() = default;

bool Instance::Channel::Send(void* completion) {
  const std::lock_guard lock(mutex_);
  return is_open_ && napi_call_threadsafe_function(function_, completion, napi_tsfn_nonblocking) == napi_ok;
}

void Instance::Channel::Close() {
  const std::lock_guard lock(mutex_);
  is_open_ = false;
}

void Instance::CleanUp(void* data) {
  auto* instance = static_cast<Instance*>(data);
  instance->StopExecutors();
  instance->channel_->Close();
  napi_release_threadsafe_function(instance->completions_, napi_tsfn_abort);
}

void Instance::StopExecutors() {
  stopped_ = true;
  neuron_blip::StopExecutors(executors_);
}

void Instance::Track(const std::shared_ptr<Executor>& executor) {
  if (stopped_ || IsProcessExiting()) {
    throw CodedError("DISPOSED", "The process is exiting: no new work can begin.");
  }
  std::erase_if(executors_, [](const auto& known) { return known.expired(); });
  executors_.push_back(executor);
  TrackForExit(executor);
}

Napi::Value Instance::Submit(Executor& executor, std::unique_ptr<Job> job) {
  napi_value promise = nullptr;
  NAPI_THROW_IF_FAILED(env_, napi_create_promise(env_, &job->deferred_, &promise), Napi::Value());

  // std::function must be copyable, hence a shared pointer; the channel takes it over as a raw one.
  const napi_deferred deferred = job->deferred_;
  std::shared_ptr<Job> owned = std::move(job);
  const bool queued = executor.Post([shared = std::move(owned), channel = channel_]() mutable {
    try {
      shared->Run();
    } catch (...) {
      shared->failure_ = DescribeCurrentException();
    }
    // Moved, not copied: the last reference to an executor must not be dropped on its own thread.
    auto* completion = new std::shared_ptr<Job>(std::move(shared));
    // Refused only when the environment is ending: then nobody waits for the result.
    if (!channel->Send(completion)) delete completion;
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
