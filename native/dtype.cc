#include "dtype.h"

#include <array>
#include <utility>

#include "errors.h"

namespace neuron_blip {
namespace {

constexpr std::array<std::pair<const char*, c10::ScalarType>, 10> kDtypes{{
    {"float32", c10::ScalarType::Float},
    {"float64", c10::ScalarType::Double},
    {"float16", c10::ScalarType::Half},
    {"bfloat16", c10::ScalarType::BFloat16},
    {"int64", c10::ScalarType::Long},
    {"int32", c10::ScalarType::Int},
    {"int16", c10::ScalarType::Short},
    {"int8", c10::ScalarType::Char},
    {"uint8", c10::ScalarType::Byte},
    {"bool", c10::ScalarType::Bool},
}};

}  // namespace

std::optional<c10::ScalarType> FindDtype(const std::string& name) {
  for (const auto& [known, type] : kDtypes) {
    if (name == known) return type;
  }
  return {};
}

c10::ScalarType DtypeFromName(const std::string& name) {
  if (const auto found = FindDtype(name)) return *found;
  throw CodedError("INVALID_INPUT", "Unknown dtype \"" + name + "\".");
}

const char* DtypeName(c10::ScalarType type) {
  for (const auto& [name, known] : kDtypes) {
    if (type == known) return name;
  }
  throw CodedError("EXECUTION_FAILED",
                   std::string("It returned a tensor of type ") + c10::toString(type) +
                       ", which JavaScript has no array for. Convert it to another dtype before it is returned.");
}

}  // namespace neuron_blip
