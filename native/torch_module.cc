#include "torch_module.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <string_view>
#include <utility>

#include "caching_allocator.h"
#include "errors.h"
#include "handle.h"
#include "instance.h"
#include "tensor.h"

namespace neuron_blip {
namespace {

size_t WeightBytes(const torch::jit::Module& module) {
  size_t bytes = 0;
  for (const at::Tensor& parameter : module.parameters()) bytes += parameter.nbytes();
  for (const at::Tensor& buffer : module.buffers()) bytes += buffer.nbytes();
  return bytes;
}

std::vector<c10::FunctionSchema> SchemasOf(const torch::jit::Module& module) {
  std::vector<c10::FunctionSchema> schemas;
  for (const torch::jit::Method& method : module.get_methods()) schemas.push_back(method.function().getSchema());
  return schemas;
}

/// Whether this CPU calculates in bfloat16; `has_bfloat16` in scripts/neuron_blip_compile/cpu_linear.py tells the same.
bool HasBfloat16() {
#ifdef __x86_64__
  // libtorch is content with AVX-512, on which oneDNN emulates it.
  if (!__builtin_cpu_supports("avx512bf16")) return false;
#endif
  const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_is_mkldnn_bf16_supported", ""});
  if (!schema) return false;
  torch::jit::Stack stack;
  schema->callBoxed(stack);
  return torch::jit::pop(stack).toBool();
}

/// Of the part alone, not of its submodules.
void ToFloat32(torch::jit::Module& part) {
  for (const auto& [name, value] : part.named_attributes(/*recurse=*/false)) {
    if (!value.isTensor() || value.toTensor().scalar_type() != at::kBFloat16) continue;
    part.setattr(name, value.toTensor().to(at::kFloat));
  }
}

/// Lets submodules that can lay out their weights for this CPU do so: those with the method `neuron_blip_pack_weights`,
/// which scripts/neuron_blip_compile/cpu_linear.py makes; its `prepared` does the same. The whole module is made
/// float32 where the CPU has no bfloat16. Where there is no such layout here they stay as they are.
void PackWeights(const torch::jit::Module& module) {
  const auto packs = [](const torch::jit::Module& part) {
    return part.find_method("neuron_blip_pack_weights").has_value();
  };
  std::vector<torch::jit::Module> parts;
  for (const torch::jit::Module& part : module.modules()) parts.push_back(part);
  if (std::none_of(parts.begin(), parts.end(), packs)) return;
  const c10::InferenceMode inference;
  const bool to_float32 = !HasBfloat16();
  bool has_layout = true;
  // One after the other, so that no more than one is there twice.
  for (torch::jit::Module& part : parts) {
    if (to_float32) ToFloat32(part);
    if (!has_layout || !packs(part)) continue;
    try {
      part.run_method("neuron_blip_pack_weights");
    } catch (const std::exception&) {  // what TorchScript makes of an operator's error
      has_layout = false;
    }
  }
}

}  // namespace

TorchModule::TorchModule(torch::jit::Module module, std::shared_ptr<Executor> executor)
    : module_(std::move(module)),
      executor_(std::move(executor)),
      schemas_(SchemasOf(*module_)),
      bytes_(WeightBytes(*module_)) {
  PackWeights(*module_);
}

c10::IValue TorchModule::Call(const std::string& method, std::vector<c10::IValue> inputs) {
  if (!module_) throw CodedError("DISPOSED", "This module has been disposed. Load it again.");
  const auto found = module_->find_method(method);
  if (!found) throw CodedError("INVALID_INPUT", "The module has no method `" + method + "`.");
  const c10::InferenceMode inference;
  return (*found)(std::move(inputs));
}

size_t TorchModule::SetNeuronDevices(int64_t start, int64_t count) {
  if (!module_) throw CodedError("DISPOSED", "This module has been disposed. Load it again.");
  size_t placed = 0;
  for (const c10::IValue& attribute : module_->attributes(/*recurse=*/true)) {
    if (!attribute.isCustomClass()) continue;
    const auto type = attribute.type()->cast<c10::ClassType>();
    torch::jit::Function* place = type ? type->findMethod("set_neuron_devices") : nullptr;
    if (place == nullptr) continue;
    (*place)({attribute, start, count});
    placed++;
  }
  return placed;
}

namespace {

/// Whether a TorchScript file's code names AWS Neuron's classes or ops. Reads the file without running any of it.
bool UsesNeuron(const std::string& path) {
  caffe2::serialize::PyTorchStreamReader reader(path);
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

/// What a method returned, taken apart on the executor's thread, so that the JavaScript thread only wraps.
struct Output {
  enum class Kind { kTensor, kList, kDict, kNumber, kBool, kString, kNull };
  Kind kind = Kind::kNull;
  at::Tensor tensor;
  std::vector<Output> items;
  std::vector<std::string> keys;  // of a dict, in step with items
  double number = 0;
  bool boolean = false;
  std::string string;
};

Output TakeApart(const c10::IValue& value) {
  Output output;
  const auto take_items = [&output](const auto& elements) {
    output.kind = Output::Kind::kList;
    for (const c10::IValue& element : elements) output.items.push_back(TakeApart(element));
  };
  if (value.isTensor()) {
    output.kind = Output::Kind::kTensor;
    output.tensor = value.toTensor();
    if (!output.tensor.defined()) output.kind = Output::Kind::kNull;
  } else if (value.isTuple()) {
    take_items(value.toTupleRef().elements());
  } else if (value.isList()) {
    take_items(value.toListRef());
  } else if (value.isGenericDict()) {
    output.kind = Output::Kind::kDict;
    for (const auto& entry : value.toGenericDict()) {
      if (!entry.key().isString()) {
        throw CodedError("EXECUTION_FAILED", "The module returned a dict with keys that are not strings: " +
                                                 std::string(entry.key().tagKind()) + ".");
      }
      output.keys.push_back(entry.key().toStringRef());
      output.items.push_back(TakeApart(entry.value()));
    }
  } else if (value.isInt()) {
    output.kind = Output::Kind::kNumber;
    output.number = static_cast<double>(value.toInt());
  } else if (value.isDouble()) {
    output.kind = Output::Kind::kNumber;
    output.number = value.toDouble();
  } else if (value.isBool()) {
    output.kind = Output::Kind::kBool;
    output.boolean = value.toBool();
  } else if (value.isString()) {
    output.kind = Output::Kind::kString;
    output.string = value.toStringRef();
  } else if (!value.isNone()) {
    throw CodedError("EXECUTION_FAILED", "The module returned a value of type " + std::string(value.tagKind()) +
                                             ", which has no counterpart in JavaScript.");
  }
  return output;
}

/// A tensor whose memory belongs to it alone is exposed as it is. Where the memory is shared (with the module's
/// weights, an input or another output) or not contiguous it is copied, so that writing to one array never changes
/// another.
void OwnMemory(Output& output) {
  for (Output& item : output.items) OwnMemory(item);
  if (output.kind != Output::Kind::kTensor) return;
  at::Tensor& tensor = output.tensor;
  if (tensor.is_sparse() || tensor.is_quantized()) {
    throw CodedError("EXECUTION_FAILED", "The module returned a sparse or quantised tensor. Return a dense one.");
  }
  // Lazy conjugates and negatives would otherwise be read without their sign.
  tensor = tensor.resolve_conj().resolve_neg().cpu().contiguous();
  if (tensor.use_count() > 1 || tensor.storage().use_count() > 1) tensor = tensor.clone();
}

Napi::Value ToJs(Napi::Env env, const Output& output) {
  const auto describe = [env](const char* kind) {
    Napi::Object node = Napi::Object::New(env);
    node.Set("kind", kind);
    return node;
  };
  const auto wrap_items = [env, &output] {
    Napi::Array items = Napi::Array::New(env, output.items.size());
    for (uint32_t i = 0; i < output.items.size(); i++) items.Set(i, ToJs(env, output.items[i]));
    return items;
  };
  const auto plain = [&describe](const auto& value) {
    Napi::Object node = describe("value");
    node.Set("value", value);
    return node;
  };
  switch (output.kind) {
    case Output::Kind::kTensor:
      return WrapTensor(env, output.tensor);
    case Output::Kind::kList: {
      Napi::Object node = describe("list");
      node.Set("items", wrap_items());
      return node;
    }
    case Output::Kind::kDict: {
      Napi::Object node = describe("dict");
      Napi::Array keys = Napi::Array::New(env, output.keys.size());
      for (uint32_t i = 0; i < output.keys.size(); i++) keys.Set(i, output.keys[i]);
      node.Set("keys", keys);
      node.Set("items", wrap_items());
      return node;
    }
    case Output::Kind::kNumber:
      return plain(Napi::Number::New(env, output.number));
    case Output::Kind::kBool:
      return plain(Napi::Boolean::New(env, output.boolean));
    case Output::Kind::kString:
      return plain(Napi::String::New(env, output.string));
    case Output::Kind::kNull:
      break;
  }
  return plain(env.Null());
}

CodedError LoadError(const std::string& path, const std::string& reason) {
  // Of a type or an operator that it does not know, libtorch's words begin with an empty line.
  const size_t start = std::min(reason.find_first_not_of('\n'), reason.size());
  return {"ARTIFACT_CORRUPT",
          "\"" + path +
              "\" could not be loaded as a TorchScript module. Write it again (`npx neuron-blip compile` "
              "or torch.jit.save). libtorch says: " +
              reason.substr(start, reason.find('\n', start) - start)};
}

class InspectJob : public Job {
 public:
  explicit InspectJob(std::string path) : path_(std::move(path)) {}

  void Run() override {
    try {
      uses_neuron_ = UsesNeuron(path_);
    } catch (...) {
      throw LoadError(path_, DescribeCurrentException().message);
    }
  }
  Napi::Value Result(Napi::Env env) override { return Napi::Boolean::New(env, uses_neuron_); }

 private:
  std::string path_;
  bool uses_neuron_ = false;
};

Napi::Object SignatureOf(Napi::Env env, const c10::FunctionSchema& schema) {
  Napi::Array inputs = Napi::Array::New(env);
  for (size_t i = 1; i < schema.arguments().size(); i++) {  // the first is `self`
    const c10::Argument& argument = schema.arguments()[i];
    Napi::Object input = Napi::Object::New(env);
    input.Set("name", argument.name());
    input.Set("type", argument.type()->annotation_str());
    input.Set("optional", argument.default_value().has_value());
    inputs.Set(inputs.Length(), input);
  }
  Napi::Array outputs = Napi::Array::New(env);
  for (const c10::Argument& result : schema.returns()) outputs.Set(outputs.Length(), result.type()->annotation_str());
  Napi::Object signature = Napi::Object::New(env);
  signature.Set("inputs", inputs);
  signature.Set("outputs", outputs);
  return signature;
}

#if TORCH_VERSION_MAJOR >= 2
/// While it lives, leaves out what libtorch says on this thread of its own successors, such as torchao's for int8
/// weights: TorchScript has none.
class WithoutDeprecations final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("deprecated") == std::string::npos) c10::WarningHandler::process(warning);
  }

 private:
  c10::WarningUtils::WarningHandlerGuard guard_{this};
};
#else
/// Older versions have another interface, and announce nothing.
class WithoutDeprecations {};
#endif

class LoadJob : public Job {
 public:
  LoadJob(std::shared_ptr<Executor> executor, std::string path)
      : executor_(std::move(executor)), path_(std::move(path)) {}

  void Run() override {
    [[maybe_unused]] const WithoutDeprecations quiet;
    try {
      torch::jit::Module module = torch::jit::load(path_, c10::Device(c10::DeviceType::CPU));
      module.eval();
      if (!module.find_method("forward")) {
        throw CodedError("ARTIFACT_MISMATCH", "\"" + path_ + "\" has no method `forward`.");
      }
      module_ = std::make_shared<TorchModule>(std::move(module), executor_);
      ReleaseCachedMemory();  // what laying out weights has left
#ifdef __GLIBC__
      malloc_trim(0);
#endif
    } catch (const CodedError&) {
      throw;
    } catch (...) {
      const Failure failure = DescribeCurrentException();
      if (failure.code != "EXECUTION_FAILED") throw CodedError(failure.code, failure.message);
      throw LoadError(path_, failure.message);
    }
  }

  Napi::Value Result(Napi::Env env) override {
    Napi::Object methods = Napi::Object::New(env);
    for (const c10::FunctionSchema& schema : module_->schemas()) methods.Set(schema.name(), SignatureOf(env, schema));
    Napi::Object loaded = Napi::Object::New(env);
    loaded.Set("handle", Handle<TorchModule>::Wrap(env, module_, module_->bytes()));
    loaded.Set("methods", methods);
    return loaded;
  }

 private:
  std::shared_ptr<Executor> executor_;
  std::string path_;
  std::shared_ptr<TorchModule> module_;
};

class CallJob : public Job {
 public:
  CallJob(std::shared_ptr<Executor> executor, std::shared_ptr<TorchModule> module, std::string method,
          std::vector<c10::IValue> inputs)
      : executor_(std::move(executor)),
        module_(std::move(module)),
        method_(std::move(method)),
        inputs_(std::move(inputs)) {}

  void Run() override {
    // OwnMemory counts who else holds the memory: the inputs must still be held here, and what the method returned
    // no more.
    output_ = TakeApart(module_->Call(method_, inputs_));
    OwnMemory(output_);
    inputs_.clear();
  }
  Napi::Value Result(Napi::Env env) override { return ToJs(env, output_); }

 private:
  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
  std::shared_ptr<TorchModule> module_;
  std::string method_;
  std::vector<c10::IValue> inputs_;
  Output output_;
};

class PlaceJob : public Job {
 public:
  PlaceJob(std::shared_ptr<TorchModule> module, int64_t start, int64_t count)
      : module_(std::move(module)), start_(start), count_(count) {}
  void Run() override { placed_ = module_->SetNeuronDevices(start_, count_); }
  Napi::Value Result(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(placed_)); }

 private:
  std::shared_ptr<TorchModule> module_;
  int64_t start_;
  int64_t count_;
  size_t placed_ = 0;
};

class ReleaseJob : public Job {
 public:
  explicit ReleaseJob(std::shared_ptr<TorchModule> module) : module_(std::move(module)) {}
  void Run() override {
    module_->Release();
    ReleaseCachedMemory();  // its weights, and its temporaries
  }
  Napi::Value Result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<TorchModule> module_;
};

/// loadModule(executor, path): Promise<{handle, methods}>, a signature by each method's name
Napi::Value LoadModule(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  Executor& runner = *executor;
  return Instance::Of(info.Env())
      .Submit(runner, std::make_unique<LoadJob>(std::move(executor), info[1].As<Napi::String>()));
}

/// inspectModule(executor, path): Promise<boolean>, whether it needs the Neuron runtime.
Napi::Value InspectModule(const Napi::CallbackInfo& info) {
  const auto executor = Handle<Executor>::Unwrap(info[0]);
  return Instance::Of(info.Env()).Submit(*executor, std::make_unique<InspectJob>(info[1].As<Napi::String>()));
}

/// placeModule(module, start, count): Promise<number>, how many Neuron graphs were placed.
Napi::Value PlaceModule(const Napi::CallbackInfo& info) {
  auto module = Handle<TorchModule>::Unwrap(info[0]);
  Executor& runner = module->executor();
  const int64_t start = info[1].As<Napi::Number>().Int64Value();
  const int64_t count = info[2].As<Napi::Number>().Int64Value();
  return Instance::Of(info.Env()).Submit(runner, std::make_unique<PlaceJob>(std::move(module), start, count));
}

/// callModule(executor, module, method, tensors): Promise<output>
Napi::Value CallModule(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  auto module = Handle<TorchModule>::Unwrap(info[1]);
  std::string method = info[2].As<Napi::String>();
  const auto handles = info[3].As<Napi::Array>();
  std::vector<c10::IValue> inputs;
  inputs.reserve(handles.Length());
  for (uint32_t i = 0; i < handles.Length(); i++) inputs.emplace_back(Handle<Tensor>::Unwrap(handles.Get(i))->value());
  Executor& runner = *executor;
  return Instance::Of(info.Env())
      .Submit(runner,
              std::make_unique<CallJob>(std::move(executor), std::move(module), std::move(method), std::move(inputs)));
}

/// releaseModule(module): Promise<void>, after the calls that were queued before.
Napi::Value ReleaseModule(const Napi::CallbackInfo& info) {
  auto module = Handle<TorchModule>::Unwrap(info[0]);
  Handle<TorchModule>::Drop(info[0]);
  Executor& runner = module->executor();
  if (runner.closed()) {
    // Nothing can be queued any more; the calls under way hold the module as long as they need it.
    const auto deferred = Napi::Promise::Deferred::New(info.Env());
    deferred.Resolve(info.Env().Undefined());
    return deferred.Promise();
  }
  return Instance::Of(info.Env()).Submit(runner, std::make_unique<ReleaseJob>(std::move(module)));
}

}  // namespace

void RegisterTorchModule(Napi::Env env, Napi::Object exports) {
  Export<InspectModule>(env, exports, "inspectModule");
  Export<LoadModule>(env, exports, "loadModule");
  Export<PlaceModule>(env, exports, "placeModule");
  Export<CallModule>(env, exports, "callModule");
  Export<ReleaseModule>(env, exports, "releaseModule");
}

}  // namespace neuron_blip
