#pragma once

#include <torch/csrc/jit/frontend/resolver.h>

namespace neuron_blip {

/// What the names mean that a source text uses and does not define:
/// - `torch.NAME`: libtorch's own operators (`aten`), and dtypes (`torch.bfloat16`);
/// - `ops.NAMESPACE.NAME`: every operator that is registered;
/// - `hasattr(torch, "NAME")`, `hasattr(ops.NAMESPACE, "NAME")`: whether there is such an operator. An `if` of it is
///   decided when the text is compiled, and only the branch that is taken must compile;
/// - `float32`, `bfloat16`, …: dtypes, save `bool`, which is TorchScript's own function;
/// - `PackedLinear`: the type of a linear's packed weights.
torch::jit::ResolverPtr SourceResolver();

}  // namespace neuron_blip
