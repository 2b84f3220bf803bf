#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace neuron_blip {

/// Nothing for a name that is not in the table.
std::optional<c10::ScalarType> FindDtype(const std::string& name);

/// The names that lib/tensor.ts uses, after torch's own: "float32", "int64", ….
/// @throws CodedError INVALID_INPUT for a name that is not in the table.
c10::ScalarType DtypeFromName(const std::string& name);

/// @throws CodedError EXECUTION_FAILED for a type that JavaScript has no array for.
const char* DtypeName(c10::ScalarType type);

}  // namespace neuron_blip
