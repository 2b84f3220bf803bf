"""How long int8 linears of BLIP's sizes take by each of libtorch's engines, by rows: what tells which engine packs which.

    python scripts/bench/int8_engines.py THREADS [ROWS,...]

Prints ms, medians. Weights are as many as do not fit into caches, so that each is read from memory.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings

import torch
from limits import engines, pack
from serve import milliseconds

SIZES = ((768, 768), (768, 1536), (768, 2304), (768, 3072), (3072, 768), (768, 30524))
ROWS = (1, 2, 4, 8, 16, 32, 64, 577)
ROUNDS = 5
WEIGHT_BYTES = 2**26


def median_of(engine: str, inputs: int, outputs: int, rows: int, packed: list[object]) -> float:
    """-> ms"""
    x = torch.randn(rows, inputs)
    torch.backends.quantized.engine = engine
    samples = []
    for _ in range(ROUNDS + 1):
        for weight in packed:
            begin = time.perf_counter()
            torch.ops.quantized.linear_dynamic(x, weight, True)
            samples.append(milliseconds(begin))
    return statistics.median(samples[len(packed) :])


def main() -> None:
    """Measures all."""
    torch.set_num_threads(int(sys.argv[1]))
    all_rows = [int(rows) for rows in sys.argv[2].split(",")] if len(sys.argv) > 2 else ROWS
    for inputs, outputs in SIZES:
        count = max(1, WEIGHT_BYTES // (inputs * outputs))
        packed = {engine: [pack(engine, inputs, outputs) for _ in range(count)] for engine in engines()}
        for rows in all_rows:
            times = [f"{engine} {median_of(engine, inputs, outputs, rows, packed[engine]):.3f}" for engine in packed]
            print(f"{inputs} x {outputs}, {rows} rows: {', '.join(times)}", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # as in limits.py
    with torch.inference_mode():
        main()
