"""`trace`: a torch.jit.trace, packed as the stand-in's "NEFF"."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# torchneuron/loaded_model.cc reads this header.
_HEADER = b"neuron-blip stand-in, not a NEFF: a TorchScript archive for the CPU follows, made by no Neuron compiler\n"
_HEADER_SIZE = 1024


def trace(
    func: Callable[..., Any],
    example_inputs: Tensor | Sequence[Tensor],
    *_: Any,
    input_output_aliases: dict[Any, Any] | None = None,
    compiler_workdir: str | None = None,
    compiler_args: Sequence[str] | str | None = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> torch.jit.ScriptModule:
    """Traces for the CPU; returns a module that calls neuron::forward_v2 and returns what `func` does.

    It takes the inputs by position, with the shapes and dtypes of the examples, under names that say nothing. Adds the call's
    arguments to the list in stand_in_arguments.json in `compiler_workdir`. Raises RuntimeError where the file trace_failure in
    the directory NEURON_BLIP_STAND_IN asks for it, and NotImplementedError for what the stand-in has not got.
    """
    if compiler_workdir is not None:
        _record(
            Path(compiler_workdir),
            {
                "compiler_args": compiler_args,
                "cpu_backend": cpu_backend,
                "inline_weights_to_neff": inline_weights_to_neff,
            },
        )
    _fail_if_asked()
    if input_output_aliases:
        raise NotImplementedError("the stand-in for torch_neuronx has no input_output_aliases: there is no device memory")
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    if not all(isinstance(tensor, Tensor) for tensor in inputs):
        raise NotImplementedError("the stand-in for torch_neuronx takes tensors, not structures of them")

    with torch.no_grad():
        graph = torch.jit.trace(func, inputs, strict=False, check_trace=False)
        returned = graph(*inputs)
    buffer = io.BytesIO()
    torch.jit.save(graph, buffer)
    neff = _HEADER.ljust(_HEADER_SIZE, b"\0") + _without_debug_records(buffer)
    expression, count = _expression(returned)
    meta = {
        "name": func.__class__.__name__ if isinstance(func, nn.Module) else getattr(func, "__name__", "function"),
        "inputs": [
            {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
            for name, tensor in zip(_input_names(len(inputs)), inputs)
        ],
        "outputs": count,
    }
    model = torch.classes.neuron.Model(neff, json.dumps(meta))
    names = _input_names(len(inputs))
    return _module(
        model,
        f"def forward(self, {', '.join(f'{name}: Tensor' for name in names)}):\n"
        f"    outputs = torch.ops.neuron.forward_v2([{', '.join(names)}], self.model)\n"
        f"    return {expression}\n",
    )


def _without_debug_records(archive: io.BytesIO) -> bytes:
    """A TorchScript archive without the records that name the files of this machine that it was traced from."""
    archive.seek(0)
    reader = torch._C.PyTorchFileReader(archive)
    copy = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(copy)
    for name in reader.get_all_records():
        # The writer makes the id itself, of what it wrote.
        if not name.endswith((".debug_pkl", ".data/serialization_id")):
            content = reader.get_record(name)
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return copy.getvalue()


def _module(model: torch.ScriptObject, forward: str) -> torch.jit.ScriptModule:
    """A module that has the compiled model in the attribute `model`, and this method."""

    class NeuronStandIn(nn.Module):  # here, because TorchScript takes all modules of one class for one type
        def __init__(self) -> None:
            super().__init__()
            self.model = model

    module = torch.jit.script(NeuronStandIn().eval())
    module.define(forward)
    return module


def _record(workdir: Path, call: dict[str, Any]) -> None:
    path = workdir / "stand_in_arguments.json"
    workdir.mkdir(parents=True, exist_ok=True)
    calls = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*calls, call], indent=2) + "\n", encoding="utf-8")


def _fail_if_asked() -> None:
    directory = os.environ.get("NEURON_BLIP_STAND_IN")
    failure = Path(directory) / "trace_failure" if directory else None
    if failure is not None and failure.exists():
        raise RuntimeError(failure.read_text(encoding="utf-8").strip() or "neuronx-cc failed with 70")


def _input_names(count: int) -> list[str]:
    return [f"input_{i}" for i in range(count)]


def _expression(returned: Any) -> tuple[str, int]:
    """TorchScript for the structure of `returned` over the list `outputs`, and how many tensors there are.

    torchneuron/loaded_model.cc takes the graph's result apart in the same order.
    """
    indices = iter(range(1_000_000))
    expression = _build(returned, indices)
    return expression, next(indices)


def _build(value: Any, indices: Iterator[int]) -> str:
    if isinstance(value, Tensor):
        return f"outputs[{next(indices)}]"
    if isinstance(value, tuple):
        return f"({''.join(_build(item, indices) + ', ' for item in value)})"
    if isinstance(value, list):
        return f"[{', '.join(_build(item, indices) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_build(item, indices)}' for key, item in value.items())}}}"
    raise NotImplementedError(f"the stand-in for torch_neuronx cannot return a {type(value).__name__}")
