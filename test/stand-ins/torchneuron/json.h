// A reader of the JSON that python/torch_neuronx writes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace stand_in {

/// A JSON value: a string, a number, an array or an object. Escapes other than of quote and backslash are not read.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  /// Throws std::runtime_error where the text is not such JSON.
  static Json Parse(std::string_view text);

  // Each throws std::runtime_error where the value is of another type.
  const Json& operator[](std::string_view key) const;
  const Array& array() const;
  const std::string& string() const;
  double number() const;

 private:
  class Reader;
  using Value = std::variant<std::string, double, Array, Object>;
  explicit Json(Value value) : value_(std::move(value)) {}

  template <typename T>
  const T& As(const char* what) const;

  Value value_;
};

}  // namespace stand_in
