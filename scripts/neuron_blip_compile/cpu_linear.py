"""The linears of the modules for the CPU, in the number type that was asked for."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

# What `--dtype` may be; with int8, weights of the text modules are int8 and the vision module is bf16.
DTYPES = ("fp32", "bf16", "int8")


class PackedLinear(nn.Module):
    """A bf16 linear whose weights are laid out for this CPU's matrix unit once, after loading, not in every call.

    At few rows that copy is most of the call. A laid-out tensor cannot be saved: `neuron_blip_pack_weights` makes it,
    and neuron-blip calls that method of every submodule after loading. Without the call, results are the same.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", linear.weight.detach())
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    @torch.jit.export
    def neuron_blip_pack_weights(self) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, 1)


def in_dtype(module: nn.Module, dtype: str) -> nn.Module:
    """A module with its linears in a number type: "fp32", as it is, "bf16" or "int8" (weights; activations float32)."""
    module = module.eval()
    if dtype == "fp32":
        return module
    module = copy.deepcopy(module)
    if dtype == "bf16":
        return _packed(module.to(torch.bfloat16)) if torch.backends.mkldnn.is_available() else module.to(torch.bfloat16)
    with warnings.catch_warnings():
        # torch announces its successor, torchao, which has no TorchScript.
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(
            module, {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}, dtype=torch.qint8
        )


def _packed(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, torch.jit.script(PackedLinear(child)))
        else:
            _packed(child)
    return module
