#include "module_input.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "dtype.h"
#include "errors.h"
#include "handle.h"
#include "tensor.h"
#include "torch_value.h"

namespace neuron_blip {
namespace {

using c10::TypeKind;

constexpr double kLargestNumber = 9007199254740991.0;  // Number.MAX_SAFE_INTEGER
constexpr size_t kMostAttempts = 1'000'000;
constexpr size_t kLongestType = 160;
constexpr size_t kLongestValue = 80;
constexpr size_t kLongestPath = 200;

std::string Cut(std::string text, size_t longest) {
  if (text.size() <= longest) return text;
  // Not within a UTF-8 character.
  while (longest > 0 && (static_cast<uint8_t>(text[longest]) & 0xC0) == 0x80) longest--;
  text.resize(longest);
  return text + "…";
}

bool IsTensor(const Napi::Value& value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&Tensor::kTag);
}

bool IsKept(const Napi::Value& value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&TorchValue::kTag);
}

/// A dict comes as {keys, items}: everything else that is an object is an array or a handle.
bool IsDict(const Napi::Value& value) {
  return value.IsObject() && !value.IsArray() && !IsTensor(value) && !IsKept(value);
}

bool IsWhole(double number) { return std::trunc(number) == number && std::abs(number) <= kLargestNumber; }

/// What was given, for messages.
std::string Describe(const Napi::Value& value) {
  if (value.IsUndefined()) return "nothing";
  if (value.IsNull()) return "null";
  if (value.IsString()) return "the string \"" + Cut(value.As<Napi::String>().Utf8Value(), kLongestValue) + "\"";
  if (value.IsArray()) return "an array of " + std::to_string(value.As<Napi::Array>().Length());
  if (IsTensor(value)) {
    const at::Tensor& tensor = Handle<Tensor>::Unwrap(value)->value();
    std::string shape;
    for (const int64_t size : tensor.sizes()) shape += (shape.empty() ? "" : ", ") + std::to_string(size);
    return std::string("a tensor of ") + DtypeName(tensor.scalar_type()) + " [" + Cut(shape, kLongestValue) + "]";
  }
  if (IsKept(value)) {
    return "a value of type '" +
           Cut(Handle<TorchValue>::Unwrap(value)->value().type()->annotation_str(), kLongestType) + "'";
  }
  if (value.IsObject()) return "an object";
  return "the " +
         std::string(value.IsBoolean()  ? "boolean "
                     : value.IsBigInt() ? "bigint "
                                        : "number ") +
         Cut(value.ToString().Utf8Value(), kLongestValue);
}

/// Makes one argument's value. Where a part does not fit, it remembers which, and of what type it should have been.
class InputMaker {
 public:
  /// Returns nothing where the value is not of the type.
  std::optional<c10::IValue> Make(const Napi::Value& value, const c10::TypePtr& type);
  /// Why not: where in the argument, what was given there and what was declared.
  std::string Mismatch() const {
    return "Expected a value of type '" + Cut(type_, kLongestType) + "'" +
           (path_.empty() ? "" : " at " + Cut(path_, kLongestPath));
  }
  const std::string& given() const { return given_; }
  /// What to do, after a space, or nothing.
  const std::string& hint() const { return hint_; }

 private:
  std::nullopt_t Refuse(const Napi::Value& value, const c10::Type& type, const char* hint = "") {
    type_ = type.annotation_str();
    path_.clear();
    given_ = Describe(value);
    hint_ = *hint == 0 ? "" : std::string(" ") + hint;
    return std::nullopt;
  }
  /// Says that what did not fit is within the part of that name.
  void Within(std::string_view step) {
    std::string path("[");
    path.append(step).append("]").append(path_);
    path_ = std::move(path);
  }
  /// As Make, for the part at an index.
  std::optional<c10::IValue> MakePart(const Napi::Value& value, const c10::TypePtr& type, uint32_t index) {
    auto made = Make(value, type);
    if (!made) Within(std::to_string(index));
    return made;
  }
  std::optional<c10::IValue> MakeInt(const Napi::Value& value, const c10::Type& type);
  std::optional<c10::IValue> MakeFloat(const Napi::Value& value, const c10::Type& type);
  std::optional<c10::IValue> MakeList(const Napi::Value& value, const c10::TypePtr& type);
  std::optional<c10::IValue> MakeTuple(const Napi::Value& value, const c10::TypePtr& type);
  std::optional<c10::IValue> MakeDict(const Napi::Value& value, const c10::TypePtr& type);
  std::optional<c10::IValue> MakeKey(const Napi::Value& key, const c10::TypePtr& type);
  std::optional<c10::IValue> MakeUnion(const Napi::Value& value, const c10::TypePtr& type);
  std::optional<c10::IValue> MakeAny(const Napi::Value& value);
  std::optional<c10::IValue> MakeDevice(const Napi::Value& value, const c10::Type& type);

  size_t attempts_ = 0;
  std::string type_;
  std::string path_;
  std::string given_;
  std::string hint_;
};

std::optional<c10::IValue> InputMaker::MakeInt(const Napi::Value& value, const c10::Type& type) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const int64_t number = value.As<Napi::BigInt>().Int64Value(&lossless);
    if (lossless) return c10::IValue(number);
    return Refuse(value, type, "It does not fit 64 bits.");
  }
  if (!value.IsNumber()) return Refuse(value, type);
  const double number = value.As<Napi::Number>().DoubleValue();
  if (IsWhole(number)) return c10::IValue(static_cast<int64_t>(number));
  const bool is_large = std::isfinite(number) && std::abs(number) > kLargestNumber;
  return Refuse(value, type, is_large ? "Give whole numbers from 2^53 on as a bigint." : "It takes whole numbers.");
}

std::optional<c10::IValue> InputMaker::MakeFloat(const Napi::Value& value, const c10::Type& type) {
  if (value.IsNumber()) return c10::IValue(value.As<Napi::Number>().DoubleValue());
  if (!value.IsBigInt()) return Refuse(value, type);
  bool lossless = false;
  const int64_t number = value.As<Napi::BigInt>().Int64Value(&lossless);
  if (!lossless) return Refuse(value, type, "It does not fit 64 bits.");
  return c10::IValue(static_cast<double>(number));
}

std::optional<c10::IValue> InputMaker::MakeList(const Napi::Value& value, const c10::TypePtr& type) {
  if (!value.IsArray()) return Refuse(value, *type, "It takes an array.");
  const c10::TypePtr& element_type = type->expectRef<c10::ListType>().getElementType();
  const auto items = value.As<Napi::Array>();
  c10::impl::GenericList list(element_type);
  list.reserve(items.Length());
  for (uint32_t i = 0; i < items.Length(); i++) {
    const Napi::HandleScope scope(value.Env());
    auto item = MakePart(items.Get(i), element_type, i);
    if (!item) return std::nullopt;
    list.push_back(std::move(*item));
  }
  return c10::IValue(list);
}

std::optional<c10::IValue> InputMaker::MakeTuple(const Napi::Value& value, const c10::TypePtr& type) {
  const auto tuple_type = type->expect<c10::TupleType>();
  const auto types = tuple_type->elements();
  if (!value.IsArray() || value.As<Napi::Array>().Length() != types.size()) {
    return Refuse(value, *type, "It takes an array of as many values as the tuple has.");
  }
  const auto items = value.As<Napi::Array>();
  std::vector<c10::IValue> elements;
  for (uint32_t i = 0; i < types.size(); i++) {
    auto item = MakePart(items.Get(i), types[i], i);
    if (!item) return std::nullopt;
    elements.push_back(std::move(*item));
  }
  return c10::IValue(c10::ivalue::Tuple::createNamed(std::move(elements), tuple_type));
}

/// An object's keys are strings; where numbers are declared they are read as such.
std::optional<c10::IValue> InputMaker::MakeKey(const Napi::Value& key, const c10::TypePtr& type) {
  if (type->kind() == TypeKind::IntType && key.IsString()) {
    const std::string text = key.As<Napi::String>();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return c10::IValue(number);
    return Refuse(key, *type, "It is a key of a dict.");
  }
  return Make(key, type);
}

std::optional<c10::IValue> InputMaker::MakeDict(const Napi::Value& value, const c10::TypePtr& type) {
  if (!IsDict(value)) return Refuse(value, *type, "It takes an object.");
  const auto& dict_type = type->expectRef<c10::DictType>();
  const auto keys = value.As<Napi::Object>().Get("keys").As<Napi::Array>();
  const auto items = value.As<Napi::Object>().Get("items").As<Napi::Array>();
  c10::impl::GenericDict dict(dict_type.getKeyType(), dict_type.getValueType());
  for (uint32_t i = 0; i < keys.Length(); i++) {
    const Napi::HandleScope scope(value.Env());
    const Napi::Value key = keys.Get(i);
    auto made = MakeKey(key, dict_type.getKeyType());
    if (!made) return std::nullopt;
    auto item = Make(items.Get(i), dict_type.getValueType());
    if (!item) {
      Within("\"" + Cut(key.ToString().Utf8Value(), kLongestValue / 2) + "\"");
      return std::nullopt;
    }
    dict.insert_or_assign(std::move(*made), std::move(*item));
  }
  return c10::IValue(dict);
}

/// The first member that takes the value, int before float.
std::optional<c10::IValue> InputMaker::MakeUnion(const Napi::Value& value, const c10::TypePtr& type) {
  const auto members = type->expectRef<c10::UnionType>().containedTypes();
  for (const bool is_float : {false, true}) {
    for (const c10::TypePtr& member : members) {
      if ((member->kind() == TypeKind::FloatType) != is_float) continue;
      if (auto made = Make(value, member)) return made;
    }
  }
  return Refuse(value, *type);
}

std::optional<c10::IValue> InputMaker::MakeDevice(const Napi::Value& value, const c10::Type& type) {
  if (!value.IsString()) return Refuse(value, type, "It takes the name of a device, \"cpu\".");
  try {
    return c10::IValue(c10::Device(value.As<Napi::String>().Utf8Value()));
  } catch (const std::exception&) {
    return Refuse(value, type, "It takes the name of a device, \"cpu\".");
  }
}

/// The type of a value that MakeAny made, whatever a tensor's shape is.
c10::TypePtr TypeOf(const c10::IValue& value) {
  return value.isTensor() ? c10::TypePtr(c10::TensorType::get()) : value.type();
}

/// The type that all have; Any where they differ, or there is none.
template <typename Values>
c10::TypePtr CommonType(const Values& values) {
  c10::TypePtr common;
  for (const c10::IValue& value : values) {
    c10::TypePtr type = TypeOf(value);
    if (common && *common != *type) return c10::AnyType::get();
    common = std::move(type);
  }
  return common ? common : c10::AnyType::get();
}

/// As Python's values come: a list whose elements are of one type is a list of that type.
std::optional<c10::IValue> InputMaker::MakeAny(const Napi::Value& value) {
  if (value.IsNull()) return c10::IValue();
  if (value.IsBoolean()) return c10::IValue(value.As<Napi::Boolean>().Value());
  if (value.IsString()) return c10::IValue(value.As<Napi::String>().Utf8Value());
  if (value.IsBigInt()) return MakeInt(value, *c10::IntType::get());
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    return IsWhole(number) ? c10::IValue(static_cast<int64_t>(number)) : c10::IValue(number);
  }
  if (IsTensor(value)) return c10::IValue(Handle<Tensor>::Unwrap(value)->value());
  const bool is_dict = IsDict(value);
  const auto items = (is_dict ? value.As<Napi::Object>().Get("items") : value).As<Napi::Array>();
  std::vector<c10::IValue> made;
  for (uint32_t i = 0; i < items.Length(); i++) {
    const Napi::HandleScope scope(value.Env());
    auto item = MakePart(items.Get(i), c10::AnyType::get(), i);
    if (!item) return std::nullopt;
    made.push_back(std::move(*item));
  }
  if (!is_dict) {
    c10::impl::GenericList list(CommonType(made));
    for (c10::IValue& item : made) list.push_back(std::move(item));
    return c10::IValue(list);
  }
  const auto keys = value.As<Napi::Object>().Get("keys").As<Napi::Array>();
  std::vector<c10::IValue> made_keys;
  for (uint32_t i = 0; i < keys.Length(); i++) {
    auto key = MakeAny(keys.Get(i));
    if (!key) return std::nullopt;
    made_keys.push_back(std::move(*key));
  }
  const c10::TypePtr key_type = made_keys.empty() ? c10::StringType::get() : CommonType(made_keys);
  if (key_type->kind() == TypeKind::AnyType)
    return Refuse(value, *c10::AnyType::get(), "Its keys are of several types.");
  c10::impl::GenericDict dict(key_type, CommonType(made));
  for (size_t i = 0; i < made.size(); i++) dict.insert_or_assign(std::move(made_keys[i]), std::move(made[i]));
  return c10::IValue(dict);
}

std::optional<c10::IValue> InputMaker::Make(const Napi::Value& value, const c10::TypePtr& type) {
  // Unions within unions are tried in every way.
  if (++attempts_ > kMostAttempts) throw CodedError("INVALID_INPUT", "An input takes too long to fit to its type.");
  const bool can_be_none = type->kind() == TypeKind::OptionalType || type->kind() == TypeKind::NoneType;
  if (value.IsUndefined()) {
    if (can_be_none) return c10::IValue();
    return Refuse(value, *type);
  }
  if (IsKept(value)) {
    const c10::IValue& kept = Handle<TorchValue>::Unwrap(value)->value();
    return kept.type()->isSubtypeOf(*type) ? std::optional(kept) : Refuse(value, *type);
  }
  switch (type->kind()) {
    case TypeKind::TensorType:
      if (IsTensor(value)) return c10::IValue(Handle<Tensor>::Unwrap(value)->value());
      return Refuse(value, *type, "Make a tensor with Tensor.from.");
    case TypeKind::IntType:
      return MakeInt(value, *type);
    case TypeKind::FloatType:
      return MakeFloat(value, *type);
    case TypeKind::NumberType:
      if (value.IsNumber() || value.IsBigInt()) return MakeAny(value);
      return Refuse(value, *type);
    case TypeKind::BoolType:
      if (value.IsBoolean()) return c10::IValue(value.As<Napi::Boolean>().Value());
      return Refuse(value, *type);
    case TypeKind::StringType:
      if (value.IsString()) return c10::IValue(value.As<Napi::String>().Utf8Value());
      return Refuse(value, *type);
    case TypeKind::NoneType:
      if (value.IsNull()) return c10::IValue();
      return Refuse(value, *type);
    case TypeKind::OptionalType:
      if (value.IsNull()) return c10::IValue();
      return Make(value, type->expectRef<c10::OptionalType>().getElementType());
    case TypeKind::DeviceObjType:
      return MakeDevice(value, *type);
    case TypeKind::ListType:
      return MakeList(value, type);
    case TypeKind::TupleType:
      return MakeTuple(value, type);
    case TypeKind::DictType:
      return MakeDict(value, type);
    case TypeKind::UnionType:
      return MakeUnion(value, type);
    case TypeKind::AnyType:
      return MakeAny(value);
    default:
      return Refuse(value, *type, "Such values cannot be made in JavaScript.");
  }
}

}  // namespace

std::vector<c10::IValue> ToInputs(const c10::FunctionSchema& schema, const Napi::Array& given) {
  std::vector<c10::IValue> inputs;
  inputs.reserve(given.Length());
  for (uint32_t i = 0; i < given.Length(); i++) {
    const c10::Argument& argument = schema.arguments().at(i);
    const Napi::Value value = given.Get(i);
    if (value.IsUndefined() && argument.default_value()) {
      inputs.push_back(*argument.default_value());
      continue;
    }
    InputMaker maker;
    auto made = maker.Make(value, argument.type());
    if (!made) {
      throw CodedError("INVALID_INPUT", schema.name() + "() " + maker.Mismatch() + " for argument '" +
                                            Cut(argument.name(), kLongestValue) + "' but instead was given " +
                                            maker.given() + "." + maker.hint());
    }
    inputs.push_back(std::move(*made));
  }
  return inputs;
}

}  // namespace neuron_blip
