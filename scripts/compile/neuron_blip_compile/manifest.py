"""neuron_blip.json: what a model directory holds and what it was made from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from . import sdk
from .files import read_json, sha256_of_file, sha256_of_json
from .settings import Settings
from .source import Source

FILE = "neuron_blip.json"
REFERENCE = "reference.safetensors"
FORMAT_VERSION = 1

# Part of what a part is made from: raise it when a wrapper or the way of tracing changes what is traced.
TRACING_VERSION = 2


# Of the host and of the product: a trace does not depend on them.
CIRCUMSTANCES = ("python", "neuron_sdk", "neuron_runtime")


def versions(neuron: tuple[str, str | None] | None) -> dict[str, str | None]:
    """Versions of what a model is compiled with; `neuron`: torch_neuronx's and neuronx-cc's, for that target.

    neuron_sdk: the AWS Neuron SDK that these two are of, where that is known. neuron_runtime: of the host's libnrt.so.1,
    where it has one.
    """
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "torch_neuronx": neuron[0] if neuron else None,
        "neuronx_cc": neuron[1] if neuron else None,
        "neuron_sdk": sdk.sdk_of(*neuron) if neuron else None,
        "neuron_runtime": sdk.runtime_version() if neuron else None,
    }


def made_from(part: str, module: nn.Module, source: Source, settings: Settings, used: Mapping[str, str | None]) -> str:
    """Digest of all that decides what a part's file holds: weights, architecture, settings and versions.

    `module` is the part's wrapper. The head needs no place of its own in it: another head has other weights.
    """
    own = {"tracing_version": TRACING_VERSION, "part": part, "settings": settings.of_part(module.lengths)}
    return digest_of(own, source, used)


def digest_of(own: Mapping[str, Any], source: Source, used: Mapping[str, str | None]) -> str:
    """Digest of what a part alone is made from, `own`, and of what all parts of a model are."""
    config = source.model.config.to_dict()
    # A copy of the model elsewhere is the same model.
    for key in ("_name_or_path", "_attn_implementation_internal"):
        config.pop(key, None)
    versions = {name: value for name, value in used.items() if name not in CIRCUMSTANCES}
    return sha256_of_json({**own, "weights": source.weights_sha256, "config": config, "versions": versions})


def specs(named: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Names, dtypes and shapes of tensors, as the manifest lists them."""
    return [
        {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for name, tensor in named.items()
    ]


def is_up_to_date(entry: Any, path: Path, digest: str) -> bool:
    """Whether `entry`, a part's record, was made from `digest`, and `path` is still the file it describes."""
    return (
        isinstance(entry, dict)
        and entry.get("made_from") == digest
        and path.is_file()
        and path.stat().st_size == entry.get("size")
        and sha256_of_file(path) == entry.get("sha256")
    )


def read_parts(directory: Path) -> dict[str, Any]:
    """The parts that a directory's manifest describes; none where it has no manifest of this format."""
    manifest = read_json(directory / FILE)
    if not manifest or manifest.get("format_version") != FORMAT_VERSION:
        return {}
    parts = manifest.get("parts")
    return parts if isinstance(parts, dict) else {}


def read_further_parts(directory: Path) -> dict[str, Any]:
    """The parts that earlier versions made for the CPU besides, and that a directory's manifest still describes."""
    record = (read_json(directory / FILE) or {}).get("cpu_parts")
    parts = record.get("parts") if isinstance(record, dict) else None
    return parts if isinstance(parts, dict) else {}


def build(
    source: Source,
    settings: Settings,
    used: Mapping[str, str | None],
    parts: Mapping[str, dict[str, Any]],
    reference: dict[str, Any],
) -> dict[str, Any]:
    """The manifest of a whole directory."""
    return {
        "format_version": FORMAT_VERSION,
        "target": settings.target,
        "architecture": source.head.architecture,
        "question_length": settings.question_length,
        "answer_length": settings.answer_length,
        "batch_size": settings.batch_size,
        "batch_sizes": list(settings.batch_sizes),
        "image_size": source.image_size,
        "parts": dict(parts),
        "reference": reference,
        "versions": dict(used),
        "compiler_args": list(settings.compiler_args),
        "neuron_options": asdict(settings.neuron) if settings.target == "inf2" else None,
        "checked_on": _checked_on(parts),
        "source": {"model": source.name, "weights_sha256": source.weights_sha256},
    }


def is_checked(entry: Mapping[str, Any]) -> bool:
    """Whether a part was compared with transformers. Manifests of earlier versions have the difference only."""
    return bool(entry.get("checked", entry.get("max_abs_difference") is not None))


def _checked_on(parts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What all the parts were checked on; None where some were not, or elsewhere than others."""
    places = {entry.get("checked_on") for entry in parts.values()}
    return places.pop() if len(places) == 1 else None
