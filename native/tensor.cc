#include "tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dtype.h"
#include "errors.h"
#include "handle.h"

namespace neuron_blip {

namespace {

/// @param bytes the memory that the handle alone keeps alive: none for a view, whose owner accounts for it.
Napi::Object WrapHandle(Napi::Env env, at::Tensor tensor, size_t bytes) {
  return Handle<Tensor>::Wrap(env, std::make_shared<Tensor>(std::move(tensor)), bytes);
}

/// createTensor(dtype, shape): a new tensor of zeros. Not at::zeros, which fills a large tensor with OpenMP: the
/// calling thread would get a team of its own, and once teams have more threads than there are cores, OpenMP lets none
/// of them spin, which made every later forward up to 20 % slower.
Napi::Value CreateTensor(const Napi::CallbackInfo& info) {
  const auto type = DtypeFromName(info[0].As<Napi::String>());
  at::Tensor tensor = at::empty(ShapeFrom(info[1]), at::TensorOptions().dtype(type));
  if (tensor.nbytes() > 0) std::memset(tensor.data_ptr(), 0, tensor.nbytes());
  return WrapHandle(info.Env(), tensor, tensor.nbytes());
}

/// copyTensor(array, dtype, shape): a new tensor with a copy of a typed array's bytes, whose length lib/tensor.ts has
/// checked.
Napi::Value CopyTensor(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::TypedArray>();
  const auto type = DtypeFromName(info[1].As<Napi::String>());
  at::Tensor tensor = at::empty(ShapeFrom(info[2]), at::TensorOptions().dtype(type));
  if (array.ByteLength() != tensor.nbytes()) {
    throw CodedError("INVALID_INPUT", "The array has " + std::to_string(array.ByteLength()) + " bytes, the tensor " +
                                          std::to_string(tensor.nbytes()) + ".");
  }
  // The typed array's own pointer: over a SharedArrayBuffer there is no ArrayBuffer to ask. Empty ones have none.
  void* data = nullptr;
  NAPI_THROW_IF_FAILED(info.Env(),
                       napi_get_typedarray_info(info.Env(), array, nullptr, nullptr, &data, nullptr, nullptr),
                       Napi::Value());
  if (data != nullptr && tensor.nbytes() > 0) std::memcpy(tensor.data_ptr(), data, tensor.nbytes());
  return WrapHandle(info.Env(), tensor, tensor.nbytes());
}

/// viewTensor(tensor, byteOffset, dtype, shape): another tensor over part of the same memory.
Napi::Value ViewTensor(const Napi::CallbackInfo& info) {
  const at::Tensor owner = Handle<Tensor>::Unwrap(info[0])->value();
  const int64_t offset = info[1].As<Napi::Number>().Int64Value();
  const auto type = DtypeFromName(info[2].As<Napi::String>());
  const auto shape = ShapeFrom(info[3]);
  const auto item_size = static_cast<int64_t>(c10::elementSize(type));
  const auto available = static_cast<int64_t>(owner.nbytes());
  int64_t bytes = item_size;
  for (const int64_t size : shape) bytes *= size;
  if (offset < 0 || bytes < 0 || offset > available || bytes > available - offset || offset % item_size != 0) {
    throw CodedError("INVALID_INPUT", "A view of " + std::to_string(bytes) + " bytes at offset " +
                                          std::to_string(offset) + " does not fit a tensor of " +
                                          std::to_string(available) + " bytes.");
  }
  void* data = static_cast<char*>(owner.data_ptr()) + offset;
  at::Tensor view = at::from_blob(
      data, shape, [owner](void*) {}, at::TensorOptions().dtype(type));
  return WrapHandle(info.Env(), std::move(view), 0);
}

/// tensorBuffer(tensor): an ArrayBuffer over the tensor's memory, holding a reference of its own to it.
Napi::Value TensorBuffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const at::Tensor tensor = Handle<Tensor>::Unwrap(info[0])->value();
  if (tensor.nbytes() == 0) return Napi::ArrayBuffer::New(env, 0);
  auto* reference = new at::Tensor(tensor);
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(
      env, tensor.data_ptr(), tensor.nbytes(),
      [](napi_env, void*, void* hint) { delete static_cast<at::Tensor*>(hint); }, reference, &buffer);
  if (status != napi_ok) {
    delete reference;
    throw CodedError("EXECUTION_FAILED",
                     "This JavaScript runtime refuses external buffers (Electron does). neuron-blip needs Node.js.");
  }
  return Napi::Value(env, buffer);
}

/// releaseTensor(tensor): frees the memory, unless JavaScript still holds its ArrayBuffer or a forward is using it.
Napi::Value ReleaseTensor(const Napi::CallbackInfo& info) {
  Handle<Tensor>::Drop(info[0]);
  return info.Env().Undefined();
}

}  // namespace

std::vector<int64_t> ShapeFrom(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> shape(array.Length());
  for (uint32_t i = 0; i < shape.size(); i++) shape[i] = array.Get(i).As<Napi::Number>().Int64Value();
  return shape;
}

Napi::Object WrapTensor(Napi::Env env, const at::Tensor& tensor) {
  Napi::Array shape = Napi::Array::New(env, static_cast<size_t>(tensor.dim()));
  for (int64_t i = 0; i < tensor.dim(); i++) shape.Set(static_cast<uint32_t>(i), static_cast<double>(tensor.size(i)));
  Napi::Object description = Napi::Object::New(env);
  description.Set("kind", "tensor");
  description.Set("dtype", DtypeName(tensor.scalar_type()));
  description.Set("shape", shape);
  description.Set("handle", WrapHandle(env, tensor, tensor.nbytes()));
  return description;
}

void RegisterTensor(Napi::Env env, Napi::Object exports) {
  Export<CreateTensor>(env, exports, "createTensor");
  Export<CopyTensor>(env, exports, "copyTensor");
  Export<ViewTensor>(env, exports, "viewTensor");
  Export<TensorBuffer>(env, exports, "tensorBuffer");
  Export<ReleaseTensor>(env, exports, "releaseTensor");
}

}  // namespace neuron_blip
