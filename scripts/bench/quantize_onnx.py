"""Quantises the tutorial's three parts by ONNX Runtime's own tools: weights in int8 per channel, activations per call.

    python scripts/bench/quantize_onnx.py ONNX OUT

ONNX is what export_onnx.py wrote. `reduce_range` has weights in 7 bits: sums would overflow on a CPU without VNNI.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic


def main() -> None:
    """Writes files of the same names."""
    source, out = map(Path, sys.argv[1:])
    logging.disable(logging.WARNING)  # it recommends to optimise before, which made the vision model no faster
    for name in ("vision_model", "text_encoder", "text_decoder"):
        part = f"{name}.onnx"
        quantize_dynamic(source / part, out / part, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main()
