"""Makes and checks the further parts for the CPU, which neuron-blip uses in place of the tutorial's where it can."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import manifest
from .batches import Examples
from .check import largest_difference
from .compare import compare_results
from .cpu_adapters import adapted
from .cpu_linear import converted, prepared
from .cpu_parts import CpuPart, keys_values_dtype, parts_of
from .files import read_json, sha256_of_file, write_atomically, write_json
from .judge import Judge
from .place import Place
from .progress import LOG_FILE, step
from .settings import Settings
from .source import Source
from .targets import save

# Part of what a part is made from: raise it when a module here or its tracing changes.
TRACING_VERSION = 5

# The share of the largest value by which a part may differ from transformers, by number type, where none was asked for.
# More is an error for fp32 and a warning for the others: by how much they round depends on the model (on small random
# ones bf16 by 0.01 to 0.24, int8 by 0.03 to 0.66), and what that does to answers is counted.
TOLERANCES = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.2}


def make_cpu_parts(
    source: Source,
    settings: Settings,
    wrappers: Mapping[str, nn.Module],
    used: Mapping[str, str | None],
    place: Place,
    examples: Examples,
    judge: Judge,
    force: bool,
) -> tuple[dict[str, Any] | None, list[Path]]:
    """Makes what is out of date of them, in the staging directory, and compares it with transformers.

    settings: with the primary batch size alone. wrappers: the head's. examples: what the whole model is compared on
    where anything is new. Returns the manifest's record of them and the files to put in place. Raises CompileError.
    """
    dtype = settings.cpu_dtype
    if settings.target != "cpu" or dtype is None:
        return None, []
    recorded = manifest.read_cpu_parts(place.directory)
    entries: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    for part in parts_of(source, dtype):
        digest = _made_from(part, source, used)
        found = None if force else _find(part, digest, recorded, place)
        if found:
            entries[part.name], paths[part.name] = found
            print(f"{part.name:<13} up to date, {entries[part.name]['size'] / 1e6:.1f} MB", flush=True)
        else:
            entries[part.name], paths[part.name] = _make(part, digest, place, judge)
    files = [path for path in paths.values() if path.parent == place.staging]
    if files:
        compiled = {name: _load(path) for name, path in paths.items()}
        parts = adapted(compiled, wrappers)
        compare_results(parts, source, settings, examples, judge, dtype=dtype, tolerance=TOLERANCES[dtype])
    number = str(keys_values_dtype(dtype)).removeprefix("torch.")
    return {"linears": dtype, "dtype": number, "parts": entries}, files


def _find(
    part: CpuPart, digest: str, recorded: Mapping[str, Any], place: Place
) -> tuple[dict[str, Any], Path] | None:
    """A part that is there, in place or from a run that stopped early."""
    for entry in (recorded.get(part.name), read_json(place.staging / f"{part.name}.json")):
        for folder in (place.directory, place.staging):
            path = folder / f"{part.name}.pt"
            if manifest.is_up_to_date(entry, path, digest):
                return dict(entry or {}), path
    return None


@torch.no_grad()
def _make(part: CpuPart, digest: str, place: Place, judge: Judge) -> tuple[dict[str, Any], Path]:
    path = place.staging / f"{part.name}.pt"
    began = time.monotonic()
    with step(f"Tracing {part.name}"):
        traced = torch.jit.trace_module(part.make_module(), dict(part.examples), strict=False, check_trace=False)
        traced = converted(traced, part.dtype)
        seconds = time.monotonic() - began
        write_atomically(path, lambda temporary: save(traced, temporary, "cpu"))
    print(f"{part.name:<13} traced in {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB", flush=True)
    with step(f"Checking {part.name}"):
        difference, scale = largest_difference(
            f"The compiled {part.name}", part.check(_load(path))
        )
    judge.difference(part.name, difference, scale, TOLERANCES[part.dtype], exact=part.dtype == "fp32")
    entry = {
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": sha256_of_file(path),
        "inputs": _specs(part.inputs),
        "outputs": _specs(part.outputs),
        "made_from": digest,
        "seconds": round(seconds, 3),
        "log": place.relative_log(place.log_directory / LOG_FILE),
        "checked": True,
        "checked_on": judge.device,
        "max_abs_difference": difference,
    }
    write_json(place.staging / f"{part.name}.json", entry)
    return entry, path


def _load(path: Path) -> torch.jit.ScriptModule:
    return prepared(torch.jit.load(str(path), map_location="cpu"))


def _specs(tensors: Sequence[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in tensors]


def _made_from(part: CpuPart, source: Source, used: Mapping[str, str | None]) -> str:
    own = {"tracing_version": TRACING_VERSION, "part": part.name, "dtype": part.dtype}
    return manifest.digest_of(own, source, used)
