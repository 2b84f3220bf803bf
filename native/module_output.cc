#include "module_output.h"

#include <cstdlib>
#include <utility>

#include "errors.h"
#include "tensor.h"

namespace neuron_blip {
namespace {

constexpr size_t kDeepest = 64;
constexpr size_t kMostItems = 100'000;
constexpr int64_t kLargestNumber = (int64_t{1} << 53) - 1;  // Number.MAX_SAFE_INTEGER

CodedError Unfit(const std::string& how) { return {"EXECUTION_FAILED", "It returned " + how}; }

/// Takes values apart, counting them: a list that holds the same list twice, and so on, is small and has no end.
class Taker {
 public:
  Output Take(const c10::IValue& value, size_t depth) {
    if (depth > kDeepest) {
      throw Unfit("lists, tuples or dicts that are nested more than " + std::to_string(kDeepest) +
                  " deep, or that hold themselves. Return them flat.");
    }
    if (++count_ > kMostItems) {
      throw Unfit("more than " + std::to_string(kMostItems) + " values. Return many numbers as one tensor.");
    }
    Output output;
    const auto take_items = [&](const auto& elements) {
      output.kind = Output::Kind::kList;
      for (const c10::IValue& element : elements) output.items.push_back(Take(element, depth + 1));
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
          throw Unfit("a dict with keys that are not strings: " + std::string(entry.key().tagKind()) + ".");
        }
        output.keys.push_back(entry.key().toStringRef());
        output.items.push_back(Take(entry.value(), depth + 1));
      }
    } else if (value.isInt()) {
      output.integer = value.toInt();
      const bool is_safe = output.integer >= -kLargestNumber && output.integer <= kLargestNumber;
      output.kind = is_safe ? Output::Kind::kNumber : Output::Kind::kInteger;
      output.number = static_cast<double>(output.integer);
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
      throw Unfit("a value of type " + std::string(value.tagKind()) + ", which has no counterpart in JavaScript.");
    }
    return output;
  }

 private:
  size_t count_ = 0;
};

/// Frees a value whose parts may be nested deeper than the stack: libtorch frees each within the one that holds it.
/// What is in a circle is never freed, as in libtorch.
void FreeNested(c10::IValue value) {
  std::vector<c10::IValue> pending;
  pending.push_back(std::move(value));
  while (!pending.empty()) {
    const c10::IValue next = std::move(pending.back());
    pending.pop_back();
    if (!next.isPtrType() || next.use_count() > 1) continue;
    if (next.isTuple()) {
      for (const c10::IValue& element : next.toTupleRef().elements()) pending.push_back(element);
    } else if (next.isList()) {
      for (const c10::IValue& element : next.toListRef()) pending.push_back(element);
    } else if (next.isGenericDict()) {
      for (const auto& entry : next.toGenericDict()) pending.push_back(entry.value());
    } else if (next.isObject()) {
      for (const c10::IValue& slot : next.toObjectRef().slots()) pending.push_back(slot);
    }
  }
}

void OwnMemory(Output& output) {
  for (Output& item : output.items) OwnMemory(item);
  if (output.kind != Output::Kind::kTensor) return;
  at::Tensor& tensor = output.tensor;
  if (tensor.is_sparse() || tensor.is_quantized()) {
    throw Unfit("a sparse or quantised tensor. Return a dense one.");
  }
  // Lazy conjugates and negatives would otherwise be read without their sign.
  tensor = tensor.resolve_conj().resolve_neg().cpu().contiguous();
  if (tensor.use_count() > 1 || tensor.storage().use_count() > 1) tensor = tensor.clone();
}

}  // namespace

Output TakeApart(c10::IValue value) {
  Output output;
  try {
    output = Taker().Take(value, 0);
  } catch (...) {
    FreeNested(std::move(value));
    throw;
  }
  value = c10::IValue();
  OwnMemory(output);
  return output;
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
    case Output::Kind::kInteger:
      return plain(Napi::BigInt::New(env, output.integer));
    case Output::Kind::kBool:
      return plain(Napi::Boolean::New(env, output.boolean));
    case Output::Kind::kString:
      return plain(Napi::String::New(env, output.string));
    case Output::Kind::kNull:
      break;
  }
  return plain(env.Null());
}

}  // namespace neuron_blip
