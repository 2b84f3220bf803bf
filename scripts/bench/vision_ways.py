"""Times other ways to do what a layer of the vision model does: a picture's attention in float32, and its MLP in int8.

    python vision_ways.py [THREADS]    with the benchmark's Python

Prints medians in ms. Attention is of 577 tokens, 12 heads of 64; the MLP is 768 x 3072 x 768.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from limits import pack
from serve import milliseconds
from torch import Tensor

TOKENS, HEADS, HEAD, WIDTH, INNER = 577, 12, 64, 768, 3072
ENGINE = "onednn"


def median(work: Callable[[], object], calls: int = 60) -> float:
    """-> ms, of calls after ten that do not count."""
    times = []
    for _ in range(10 + calls):
        begin = time.perf_counter()
        work()
        times.append(milliseconds(begin))
    return statistics.median(times[10:])


def attention_ways() -> dict[str, Callable[[], Tensor]]:
    """Ways by their names."""
    query, key, value = (part.transpose(1, 2) for part in torch.randn(1, TOKENS, 3, HEADS, HEAD).unbind(2))
    scale = HEAD**-0.5  # the operator's own

    def products(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return torch.softmax((queries * scale) @ keys.transpose(1, 2), -1) @ values

    def by_queries(blocks: int) -> Tensor:
        return torch.cat([products(block, key[0], value[0]) for block in query[0].chunk(blocks, 1)], 1)

    def by_heads(count: int) -> Tensor:
        at = range(0, HEADS, count)
        return torch.cat([products(*(part[0, i : i + count] for part in (query, key, value))) for i in at])

    return {
        "scaled_dot_product_attention": lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value),
        "two products": lambda: by_queries(1),
        "by 4 blocks of queries": lambda: by_queries(4),
        "by 6 blocks of queries": lambda: by_queries(6),
        "head by head": lambda: by_heads(1),
        "by 4 heads": lambda: by_heads(4),
    }


def quantised(x: Tensor) -> tuple[Tensor, float, int]:
    """In 7 bits, as torch.ops.quantized.linear_dynamic has it with reduce_range. -> codes, scale, zero point."""
    low, high = (value.item() for value in torch.aminmax(x))
    scale = max(high - low, 1e-6) / 127
    zero = round(-low / scale)
    return torch.quantize_per_tensor(x, scale, zero, torch.quint8).int_repr(), scale, zero


def mlp_ways() -> dict[str, Callable[[], Tensor]]:
    """Ways by their names."""
    x = torch.randn(TOKENS, WIDTH)
    packed, prepacked = [], []
    for inputs, outputs in ((WIDTH, INNER), (INNER, WIDTH)):
        packed.append(pack(ENGINE, inputs, outputs))
        codes = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
        weight = torch.ops.onednn.qlinear_prepack(codes, [TOKENS, inputs])
        zeros = torch.zeros(outputs, dtype=torch.int32)
        prepacked.append((weight, torch.full((outputs,), 0.01), zeros, torch.zeros(outputs)))

    def pointwise(
        which: int, given: tuple[Tensor, float, int], after: str, out: tuple[torch.dtype, float, int]
    ) -> Tensor:
        dtype, scale, zero = out
        kind = "none" if after == "gelu" else ""
        return torch.ops.onednn.qlinear_pointwise(*given, *prepacked[which], scale, zero, dtype, after, [], kind)

    floats = (torch.float32, 1.0, 0)
    inner = pointwise(0, quantised(x), "gelu", floats)
    _, scale, zero = quantised(inner)

    def dynamic() -> Tensor:
        inner = torch.nn.functional.gelu(torch.ops.quantized.linear_dynamic(x, packed[0], True))
        return torch.ops.quantized.linear_dynamic(inner, packed[1], True)

    def fused() -> Tensor:
        return pointwise(1, quantised(pointwise(0, quantised(x), "gelu", floats)), "none", floats)

    def requantised() -> Tensor:
        codes = pointwise(0, quantised(x), "gelu", (torch.uint8, scale, zero))
        return pointwise(1, (codes, scale, zero), "none", floats)

    return {
        "linear_dynamic, gelu, linear_dynamic": dynamic,
        "gelu in the linear's pass": fused,
        "gelu and requantisation in it, with a scale known before": requantised,
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # as in limits.py
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    torch.backends.quantized.engine = ENGINE
    for title, ways in (("attention, float32", attention_ways()), (f"MLP, int8, {ENGINE}", mlp_ways())):
        print(title)
        # Each twice, since the first one of all is slower.
        for name, way in [*ways.items(), *ways.items()]:
            print(f"  {name:60s} {median(way):6.2f}")
