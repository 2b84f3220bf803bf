"""The linears of the modules for the CPU, in the number type that was asked for."""

from __future__ import annotations

import copy
import platform
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

# What `--dtype` may be; with int8, weights of the text modules are int8 and the vision module is bf16.
DTYPES = ("fp32", "bf16", "int8")

# For how many rows the weights are laid out. bf16 ones were timed at 1 on AMX; of float32 ones, laid out for 64, a text
# module's linears took 0.77 of the time at 1 row, 0.46 at 8 and 0.55 at 64 of what they took as they are (AVX2).
ROWS_BF16 = 1
ROWS_FP32 = 64

# A picture's tokens, for which convolutions' weights are laid out; another number of rows runs as well.
ROWS_OF_PICTURE = 577
# Convolutions of 3072 channels take three times as long as a linear.
MOST_CHANNELS = 1536


class PackedLinear(nn.Module):
    """A linear whose weights are laid out for this CPU once, after loading, not in every call.

    At few rows that copy is most of the call. A laid-out tensor cannot be saved: `neuron_blip_pack_weights` makes it,
    and neuron-blip calls that method of every submodule after loading. Without the call, results are the same but for
    rounding.

    Where the CPU has no bfloat16, neuron-blip makes all of a bf16 module float32 first. The numbers of its weights fit into
    16-bit floats, which halve what is read from memory; all else is float32 then.
    """

    def __init__(self, linear: nn.Linear, from_bf16: bool) -> None:
        super().__init__()
        self.from_bf16, self.is_packed, self.is_half = from_bf16, False, False
        self.half = _no_packed_weights()
        self.rows = ROWS_BF16 if from_bf16 else ROWS_FP32
        self.register_buffer("weight", linear.weight.detach())
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        if self.is_half:
            return torch.ops.quantized.linear_dynamic_fp16(x, self.half)
        if self.is_packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)

    @torch.jit.export
    def neuron_blip_pack_weights(self) -> None:
        if self.from_bf16 and self.weight.dtype == torch.float32:
            self.half = torch.ops.quantized.linear_prepack_fp16(self.weight, self.bias)
            self.is_half = True
            self.weight = torch.zeros(0)
        else:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, self.rows)
            self.is_packed = True


class PointwiseLinear(nn.Module):
    """A float32 linear for many rows, with what comes after it in the same pass: oneDNN's convolution of 1 x 1 pixels.

    Of a picture's 577 tokens and 768 numbers each it took 0.86 to 0.93 of the time of a linear (AVX2). The input has at most
    MOST_CHANNELS numbers.
    """

    def __init__(self, linear: nn.Linear, after: str) -> None:
        """after: "none" or "gelu"."""
        super().__init__()
        self.after, self.is_packed, self.rows = after, False, ROWS_OF_PICTURE
        self.register_buffer("weight", linear.weight.detach())
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, K] -> [B, S, N]"""
        if not self.is_packed:
            y = linear(x, self.weight, self.bias)
            return gelu(y) if self.after == "gelu" else y
        pixels = x.unsqueeze(2).permute(0, 3, 1, 2)  # [B, K, S, 1], the channels last in memory
        y = torch.ops.mkldnn._convolution_pointwise(
            pixels, self.weight, self.bias, [0, 0], [1, 1], [1, 1], 1, self.after, [], "none"
        )
        return y.permute(0, 2, 3, 1).squeeze(2)

    @torch.jit.export
    def neuron_blip_pack_weights(self) -> None:
        weight = self.weight[:, :, None, None].contiguous(memory_format=torch.channels_last)
        size = [1, weight.shape[1], self.rows, 1]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, [0, 0], [1, 1], [1, 1], 1, size)
        self.is_packed = True


class PointwiseMLP(nn.Module):
    """Hugging Face's MLP in float32 for many rows, `fc2(gelu(fc1(x)))`: in pieces of its inner width that `PointwiseLinear` takes.

    Of a picture it took 0.95 of the time (AVX2) and 0.93 (AVX-512) of one with `fc2` as a linear.
    """

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        width = mlp.fc2.in_features
        pieces = next(n for n in range(1, width + 1) if width % n == 0 and width // n <= MOST_CHANNELS)
        self.fc1, self.fc2 = nn.ModuleList(), nn.ModuleList()
        for piece in torch.arange(width).chunk(pieces):
            into, out = nn.Linear(mlp.fc1.in_features, len(piece)), nn.Linear(len(piece), mlp.fc2.out_features)
            into.weight.data, into.bias.data = mlp.fc1.weight.data[piece], mlp.fc1.bias.data[piece]
            out.weight.data = mlp.fc2.weight.data[:, piece]
            out.bias.data = mlp.fc2.bias.data if len(self.fc2) == 0 else torch.zeros_like(mlp.fc2.bias.data)
            self.fc1.append(torch.jit.script(PointwiseLinear(into, "gelu")))
            self.fc2.append(torch.jit.script(PointwiseLinear(out, "none")))

    def forward(self, x: Tensor) -> Tensor:
        """[B, S, K] -> [B, S, K]"""
        pieces = [fc2(fc1(x)) for fc1, fc2 in zip(self.fc1, self.fc2)]
        return sum(pieces[1:], pieces[0])


def _no_packed_weights() -> Any:
    """An object of the type that `linear_prepack_fp16` returns: TorchScript cannot name it, to say that there may be none.

    Of eight bits, because every build of libtorch can load such a one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight = torch.quantize_per_tensor(torch.zeros(1, 1), scale=1.0, zero_point=0, dtype=torch.qint8)
        return torch.ops.quantized.linear_prepack(weight, None)


def in_dtype(module: nn.Module, dtype: str) -> nn.Module:
    """A module to trace, with its linears in a number type: "fp32", "bf16" or "int8" (weights; activations float32).

    One of bf16 is traced in float32, and converted then, by `converted`: tracing runs it, on whatever CPU.
    """
    module = copy.deepcopy(module.eval())
    if dtype == "int8":
        with warnings.catch_warnings():
            # torch announces its successor, torchao, which has no TorchScript.
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(
                module, {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}, dtype=torch.qint8
            )
    if not torch.backends.mkldnn.is_available():
        return module
    return _replace(module, lambda linear: torch.jit.script(PackedLinear(linear, dtype == "bf16")))


def for_many_rows(module: nn.Module) -> nn.Module:
    """A float32 module to trace whose linears mostly get many rows."""
    module = copy.deepcopy(module.eval())
    if not torch.backends.mkldnn.is_available():
        return module
    for part in list(module.modules()):
        mlp = getattr(part, "mlp", None)
        if mlp is not None and mlp.config.hidden_act == "gelu" and mlp.fc1.in_features <= MOST_CHANNELS:
            part.mlp = PointwiseMLP(mlp)
    return _replace(
        module,
        lambda linear: linear if linear.in_features > MOST_CHANNELS else torch.jit.script(PointwiseLinear(linear, "none")),
    )


def converted(module: Any, dtype: str) -> Any:
    """A module from `in_dtype`, or what was traced of it, in its number type."""
    if dtype != "bf16":
        return module
    # By where they are and what shape they have: weights that were shared stay so, which `to` does not see to.
    made: dict[tuple[int, torch.Size], tuple[Tensor, Tensor]] = {}
    for part in list(module.modules()):
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            if value.is_floating_point():
                place = (value.data_ptr(), value.shape)
                if place not in made:
                    made[place] = (value, value.detach().to(torch.bfloat16))
                found = made[place][1]
                setattr(part, name, nn.Parameter(found, requires_grad=False) if isinstance(value, nn.Parameter) else found)
    return module


def has_bfloat16() -> bool:
    """Whether this CPU calculates in bfloat16; `HasBfloat16` in native/torch_module.cc tells the same."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    # torch is content with AVX-512, on which oneDNN emulates it.
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # since torch 2.6
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and (not is_x86 or has_instructions())


def prepared(module: Any) -> Any:
    """A module, loaded or `converted`, as neuron-blip runs it on this CPU: what the addon does after loading."""
    packing = [part for part in module.modules() if hasattr(part, "neuron_blip_pack_weights")]
    if packing and not has_bfloat16():
        module.float()
    for part in packing:
        try:
            part.neuron_blip_pack_weights()
        except RuntimeError:  # no such layout here
            break
    return module


def _replace(module: nn.Module, replacement: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Replaces the linears in a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, replacement(child))
        else:
            _replace(child, replacement)
    return module
