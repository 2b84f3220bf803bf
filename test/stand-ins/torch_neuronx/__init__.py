"""A stand-in for AWS's torch_neuronx, to test scripts/trace.py where there is no Neuron compiler.

`trace` has the real one's signature (torch-neuronx 2.9) and traces for the CPU. It shows that trace.py calls the
compiler as documented; whether BLIP compiles for a device it cannot show. It writes the arguments of each call, as a
line of JSON, to `calls.jsonl` in the compiler's working directory, and fails if NEURON_STAND_IN_FAILS is set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

__version__ = "2.9.0+stand.in"


def trace(
    func: Callable[..., Any],
    example_inputs: Any,
    *_: Any,
    input_output_aliases: dict[Any, Any] | None = None,
    compiler_workdir: str | None = None,
    compiler_args: Sequence[str] | str | None = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> torch.jit.ScriptModule:
    """Traces for the CPU, and says how it was called."""
    if compiler_workdir is not None:
        call = {"compiler_args": compiler_args, "cpu_backend": cpu_backend}
        with (Path(compiler_workdir) / "calls.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(call) + "\n")
    if os.environ.get("NEURON_STAND_IN_FAILS"):
        raise RuntimeError("neuronx-cc failed with 70")
    return torch.jit.trace(func, example_inputs, strict=False, check_trace=False)
