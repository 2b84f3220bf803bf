// What a compiled model takes and returns.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

namespace stand_in {

/// One input, as compiled.
struct InputSpec {
  std::string name;
  c10::ScalarType dtype;
  std::vector<int64_t> shape;
};

class MetaNeff {
 public:
  /// Reads {"name", "inputs": [{"name", "dtype", "shape"}], "outputs": count}. Throws std::runtime_error.
  explicit MetaNeff(const std::string& json);

  const std::string& name() const { return name_; }
  const std::vector<InputSpec>& inputs() const { return inputs_; }
  size_t output_count() const { return output_count_; }

  /// Throws std::runtime_error where the inputs are not those of the compiled model; `any_batch`: dimension 0 apart.
  void Check(const std::vector<at::Tensor>& tensors, bool any_batch) const;

  /// Dimension 0 of every input, for dynamic batching. Throws std::runtime_error where they differ.
  int64_t BatchSize() const;

 private:
  std::string name_;
  std::vector<InputSpec> inputs_;
  size_t output_count_;
};

}  // namespace stand_in
