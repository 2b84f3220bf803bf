"""What this machine can do at most, as far as torch's own operators get out of it: a process that measures when it is told to.

    python scripts/bench/limits.py THREADS

Tasks and outcomes are lines, as of peers.py. Rates are the best of several sizes, operators and calls.
"""

from __future__ import annotations

import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator

import torch
from serve import milliseconds, serve
from torch import Tensor

# (rows, inputs, outputs): of a picture's tokens, of what fits into caches, and larger.
SIZES = ((512, 512, 512), (577, 768, 3072), (577, 3072, 768), (1024, 1024, 1024), (2048, 2048, 2048))
CALLS = 4
BUFFER_BYTES = 2**29  # far more than any cache

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Limits:
    """What can be asked."""

    def __init__(self) -> None:
        self.buffer: Tensor | None = None
        self.packed: dict[str, list[tuple[Tensor, object]]] = {}

    def multiplication(self, dtype: str) -> dict[str, float]:
        """Operations per second of a matrix multiplication; an addition and a multiplication are two."""
        best = 0.0
        for rows, inputs, outputs in SIZES:
            ways = int8_ways(rows, inputs, outputs) if dtype == "int8" else float_ways(rows, inputs, outputs, dtype)
            for way in ways:
                best = max(best, 2 * rows * inputs * outputs / fastest(way))
        return {"perSecond": best}

    def reading(self) -> dict[str, float]:
        """Bytes per second that are read from memory."""
        if self.buffer is None:
            self.buffer = torch.ones(BUFFER_BYTES // 4)
        floats, integers = self.buffer, self.buffer.view(torch.int32)
        return {"perSecond": BUFFER_BYTES / min(fastest(floats.sum), fastest(integers.amax))}

    def linears(self, shapes: list[list[int]]) -> dict[str, float]:
        """One row through int8 linears of (inputs, outputs), each weight read from memory, by the engine that is fastest."""
        return {"ms": min(self.linears_of(engine, shapes) for engine in engines())}

    def linears_of(self, engine: str, shapes: list[list[int]]) -> float:
        """-> ms. An engine's weights are packed when it is first asked."""
        if engine not in self.packed:
            self.packed[engine] = [(torch.rand(1, inputs), pack(engine, inputs, outputs)) for inputs, outputs in shapes]
        begin = time.perf_counter()
        for row, packed in self.packed[engine]:
            torch.ops.quantized.linear_dynamic(row, packed, True)
        return milliseconds(begin)


def float_ways(rows: int, inputs: int, outputs: int, dtype: str) -> Iterator[Callable[[], object]]:
    """Multiplications in float32 or bfloat16."""
    x = torch.rand(rows, inputs).to(DTYPES[dtype])
    weight = torch.rand(outputs, inputs).to(DTYPES[dtype])
    yield lambda: torch.mm(x, weight.t())
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        yield lambda: torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")


def int8_ways(rows: int, inputs: int, outputs: int) -> Iterator[Callable[[], object]]:
    """Multiplications of codes that are at hand."""
    x = torch.randint(-64, 64, (rows, inputs), dtype=torch.int8)
    weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    yield lambda: torch._int_mm(x, weight.t())
    codes = torch._make_per_tensor_quantized_tensor((x + 64).view(torch.uint8), 0.01, 64)
    for engine in engines():
        packed = pack(engine, inputs, outputs)
        yield lambda packed=packed: torch.ops.quantized.linear(codes, packed, 1.0, 64)


def engines() -> list[str]:
    """The engines of quantised linears that are for this CPU: QNNPACK is for phones."""
    return [name for name in torch.backends.quantized.supported_engines if name not in ("none", "qnnpack")]


def pack(engine: str, inputs: int, outputs: int) -> object:
    """An int8 linear with a scale for each output."""
    torch.backends.quantized.engine = engine
    codes = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    scales, zeros = torch.full((outputs,), 0.01, dtype=torch.float64), torch.zeros(outputs, dtype=torch.int64)
    return torch.ops.quantized.linear_prepack(torch._make_per_channel_quantized_tensor(codes, scales, zeros, 0), None)


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest call after one that does not count."""
    work()
    best = float("inf")
    for _ in range(CALLS):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # quantised tensors are deprecated, and what libtorch's linears take
    started = time.perf_counter()
    torch.set_num_threads(int(sys.argv[1]))
    serve(Limits(), {"python": platform.python_version(), "torch": torch.__version__}, started)
