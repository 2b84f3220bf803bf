#include "module_load.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "caching_allocator.h"
#include "errors.h"
#include "executor.h"
#include "handle.h"
#include "instance.h"
#include "module_archive.h"
#include "neuron_placement.h"
#include "signature.h"
#include "torch_module.h"
#include "without_deprecations.h"

namespace neuron_blip {
namespace {

/// Runs what reads an archive. What libtorch says of it becomes ARTIFACT_CORRUPT, for lib/runtime/load-error.ts to tell
/// in full; a damaged record is the reason for whatever it says.
template <typename Body>
auto Reading(const ModuleArchive& archive, Body&& body) -> decltype(body()) {
  try {
    auto result = body();
    archive.ThrowIfDamaged();
    return result;
  } catch (const CodedError&) {
    throw;
  } catch (...) {
    const Failure failure = DescribeCurrentException();
    archive.ThrowIfDamaged();
    throw CodedError(failure.code == "EXECUTION_FAILED" ? "ARTIFACT_CORRUPT" : failure.code, failure.message);
  }
}

/// Whether a TorchScript file's code names AWS Neuron's classes or ops. Reads the file without running any of it.
bool UsesNeuron(ModuleArchive& archive) {
  caffe2::serialize::PyTorchStreamReader reader(archive.Reader());
  for (const std::string& name : reader.getAllRecords()) {
    if (!name.ends_with(".py")) continue;
    const auto [data, size] = reader.getRecord(name);
    const std::string_view code(static_cast<const char*>(data.get()), size);
    if (code.find("torch.classes.neuron") != std::string_view::npos ||
        code.find("ops.neuron.") != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

class InspectJob : public Job {
 public:
  explicit InspectJob(std::string path) : path_(std::move(path)) {}

  void Run() override {
    ModuleArchive archive(path_);
    uses_neuron_ = Reading(archive, [&] { return UsesNeuron(archive); });
  }
  Napi::Value Result(Napi::Env env) override { return Napi::Boolean::New(env, uses_neuron_); }

 private:
  std::string path_;
  bool uses_neuron_ = false;
};

class ListJob : public Job {
 public:
  explicit ListJob(std::string path) : path_(std::move(path)) {}

  void Run() override { records_ = ModuleArchive(path_).records(); }
  Napi::Value Result(Napi::Env env) override {
    Napi::Array records = Napi::Array::New(env, records_.size());
    for (uint32_t i = 0; i < records_.size(); i++) {
      const Napi::HandleScope scope(env);
      Napi::Object record = Napi::Object::New(env);
      record.Set("name", records_[i].name);
      record.Set("offset", static_cast<double>(records_[i].offset));
      record.Set("size", static_cast<double>(records_[i].size));
      records.Set(i, record);
    }
    return records;
  }

 private:
  std::string path_;
  std::vector<ArchiveRecord> records_;
};

class LoadJob : public Job {
 public:
  /// `core`: nothing for a module that is not for Neuron, -1 for one that may come to any core.
  LoadJob(std::shared_ptr<Executor> executor, std::string path, std::optional<int64_t> core)
      : executor_(std::move(executor)), path_(std::move(path)), core_(core) {}

  void Run() override {
    [[maybe_unused]] const WithoutDeprecations quiet;
    ModuleArchive archive(path_);
    std::optional<NeuronLoad> load;
    if (core_) load.emplace(*core_ < 0 ? std::nullopt : core_);
    placed_ = load && load->placed();
    module_ = Reading(archive, [&] {
      archive.CheckCompressed();
      torch::jit::Module module = torch::jit::load(archive.Reader(), c10::Device(c10::DeviceType::CPU));
      archive.ThrowIfDamaged();
      module.eval();
      if (!module.find_method("forward")) throw CodedError("ARTIFACT_MISMATCH", "The module has no method `forward`.");
      return std::make_shared<TorchModule>(std::move(module), executor_);
    });
    ReturnFreedMemory();  // what laying out weights has left
  }

  Napi::Value Result(Napi::Env env) override {
    Napi::Object loaded = Napi::Object::New(env);
    loaded.Set("handle", Handle<TorchModule>::Wrap(env, module_, module_->bytes()));
    loaded.Set("methods", SignaturesOf(env, module_->schemas()));
    loaded.Set("placed", placed_);
    return loaded;
  }

 private:
  std::shared_ptr<Executor> executor_;
  std::string path_;
  std::optional<int64_t> core_;
  std::shared_ptr<TorchModule> module_;
  bool placed_ = false;
};

/// loadModule(executor, path, core): Promise<{handle, methods, placed}>, a signature by each method's name; core:
/// undefined for a module that is not for Neuron, else a visible core or -1. placed: whether it was put there while it
/// was loaded.
Napi::Value LoadModule(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  Executor& runner = *executor;
  std::optional<int64_t> core;
  if (info[2].IsNumber()) core = info[2].As<Napi::Number>().Int64Value();
  return Instance::Of(info.Env())
      .Submit(runner, std::make_unique<LoadJob>(std::move(executor), info[1].As<Napi::String>(), core));
}

/// inspectModule(executor, path): Promise<boolean>, whether it needs the Neuron runtime.
Napi::Value InspectModule(const Napi::CallbackInfo& info) {
  const auto executor = Handle<Executor>::Unwrap(info[0]);
  return Instance::Of(info.Env()).Submit(*executor, std::make_unique<InspectJob>(info[1].As<Napi::String>()));
}

/// listRecords(executor, path): Promise<{name, offset, size}[]>, what a ZIP archive holds.
Napi::Value ListRecords(const Napi::CallbackInfo& info) {
  const auto executor = Handle<Executor>::Unwrap(info[0]);
  return Instance::Of(info.Env()).Submit(*executor, std::make_unique<ListJob>(info[1].As<Napi::String>()));
}

}  // namespace

void RegisterModuleLoad(Napi::Env env, Napi::Object exports) {
  Export<InspectModule>(env, exports, "inspectModule");
  Export<ListRecords>(env, exports, "listRecords");
  Export<LoadModule>(env, exports, "loadModule");
}

}  // namespace neuron_blip
