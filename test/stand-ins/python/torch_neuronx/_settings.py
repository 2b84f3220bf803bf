"""Settings of a traced module; each looks for the compiled models in it, as the public API is said to."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def dynamic_batch(neuron_script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Lets the module take any number of rows; saved with it."""
    for model in _models(neuron_script):
        model.set_dynamic_batching(True)
    return neuron_script


def set_neuron_cores(trace: torch.jit.ScriptModule, start_nc: int = -1, nc_count: int = -1) -> torch.jit.ScriptModule:
    """Places the module on visible cores; -1: the least used, and one. Not saved with it."""
    for model in _models(trace):
        model.set_neuron_devices(start_nc, nc_count)
    return trace


def async_load(trace: torch.jit.ScriptModule, enable_async_load: bool = True) -> None:
    """Lets torch.jit.load return before the module is on its core; saved with it."""
    for model in _models(trace):
        model.set_async_load(enable_async_load)


def lazy_load(trace: torch.jit.ScriptModule, enable_lazy_load: bool = True) -> None:
    """Puts the module on its core when it is first called; saved with it."""
    for model in _models(trace):
        model.set_lazy_load(enable_lazy_load)


def _models(module: torch.jit.ScriptModule) -> Iterator[torch.ScriptObject]:
    for part in module.modules():
        model = getattr(part, "model", None)
        if isinstance(model, torch.ScriptObject):
            yield model
