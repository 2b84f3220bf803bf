#include "tensor_file.h"

#include <ATen/core/Dict.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dtype.h"
#include "errors.h"
#include "executor.h"
#include "handle.h"
#include "instance.h"
#include "mapped_file.h"
#include "tensor.h"
#include "torch_value.h"

namespace neuron_blip {
namespace {

/// Where a tensor lies in a file.
struct TensorEntry {
  std::string name;
  c10::ScalarType type;
  std::vector<int64_t> shape;
  int64_t offset;

  int64_t item_size() const { return static_cast<int64_t>(c10::elementSize(type)); }
  /// @throws CodedError INVALID_INPUT for sizes and offsets that no file has.
  int64_t Bytes() const {
    int64_t bytes = item_size();
    bool is_possible = offset >= 0;
    for (const int64_t size : shape) is_possible &= size >= 0 && !__builtin_mul_overflow(bytes, size, &bytes);
    int64_t end = 0;
    if (!is_possible || __builtin_add_overflow(offset, bytes, &end)) {
      throw CodedError("INVALID_INPUT", "The tensor \"" + name + "\" has an impossible shape or offset.");
    }
    return bytes;
  }
};

class OpenTensorsJob : public Job {
 public:
  OpenTensorsJob(std::shared_ptr<Executor> executor, std::string path, std::vector<TensorEntry> entries)
      : executor_(std::move(executor)), path_(std::move(path)), entries_(std::move(entries)) {}

  void Run() override {
    const ReadableFile file(path_);
    for (const TensorEntry& entry : entries_) CheckFits(entry, file.size());
    const c10::InferenceMode inference;
    const std::shared_ptr<FileMapping> mapping = file.Map();
    c10::Dict<std::string, at::Tensor> tensors;
    for (const TensorEntry& entry : entries_) tensors.insert_or_assign(entry.name, TensorOf(entry, file, mapping));
    value_ = std::make_shared<TorchValue>(c10::IValue(tensors));
  }
  Napi::Value Result(Napi::Env env) override { return WrapValue(env, std::move(value_), bytes_read_); }

 private:
  static void CheckFits(const TensorEntry& entry, int64_t size) {
    const int64_t bytes = entry.Bytes();
    if (bytes <= size && entry.offset <= size - bytes) return;
    throw CodedError("ARTIFACT_CORRUPT", "it has " + std::to_string(size) + " bytes, and \"" + entry.name +
                                             "\" takes " + std::to_string(bytes) + " from " +
                                             std::to_string(entry.offset) + " on");
  }

  /// Over the file's pages, where there are any and its elements lie where a CPU reads them; else in memory of its own.
  at::Tensor TensorOf(const TensorEntry& entry, const ReadableFile& file, const std::shared_ptr<FileMapping>& mapping) {
    const auto options = at::TensorOptions().dtype(entry.type);
    const auto bytes = static_cast<size_t>(entry.Bytes());
    if (mapping && bytes > 0 && entry.offset % entry.item_size() == 0) {
      const auto let_go = [mapping, bytes](void* data) { FileMapping::LetGo(data, bytes); };
      return at::from_blob(mapping->data() + entry.offset, entry.shape, let_go, options);
    }
    at::Tensor tensor = at::empty(entry.shape, options);
    if (bytes > 0) file.Read(tensor.data_ptr(), bytes, entry.offset);
    bytes_read_ += bytes;
    return tensor;
  }

  std::shared_ptr<Executor> executor_;  // until it has run: a promise must not be left unsettled
  std::string path_;
  std::vector<TensorEntry> entries_;
  std::shared_ptr<TorchValue> value_;
  size_t bytes_read_ = 0;
};

std::vector<TensorEntry> EntriesFrom(const Napi::Array& given) {
  std::vector<TensorEntry> entries;
  entries.reserve(given.Length());
  for (uint32_t i = 0; i < given.Length(); i++) {
    const Napi::HandleScope scope(given.Env());
    const auto entry = given.Get(i).As<Napi::Object>();
    entries.push_back({entry.Get("name").As<Napi::String>(), DtypeFromName(entry.Get("dtype").As<Napi::String>()),
                       ShapeFrom(entry.Get("shape")), entry.Get("offset").As<Napi::Number>().Int64Value()});
  }
  return entries;
}

/// openTensors(executor, path, entries): Promise<value>, a Dict[str, Tensor].
Napi::Value OpenTensors(const Napi::CallbackInfo& info) {
  auto executor = Handle<Executor>::Unwrap(info[0]);
  Executor& runner = *executor;
  return Instance::Of(info.Env())
      .Submit(runner, std::make_unique<OpenTensorsJob>(std::move(executor), info[1].As<Napi::String>(),
                                                       EntriesFrom(info[2].As<Napi::Array>())));
}

}  // namespace

void RegisterTensorFile(Napi::Env env, Napi::Object exports) { Export<OpenTensors>(env, exports, "openTensors"); }

}  // namespace neuron_blip
