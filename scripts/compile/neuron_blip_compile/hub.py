"""Models of the Hugging Face Hub, which `neuron-blip compile` fetches: safetensors and text alone, no pickled programs."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from .errors import CompileError


def from_hub(model: str, revision: str | None, *, weights: bool = True) -> str:
    """The directory of a model; of one of the Hub in the cache, into which `neuron-blip compile` fetches it.

    Run by itself, without `neuron-blip compile`, this leaves the model as it is: transformers fetches it.
    weights: False for its processor alone. Raises CompileError where it cannot be had.
    """
    channel = os.environ.get("NEURON_BLIP_HUB_FD")
    if not channel or Path(model).expanduser().is_dir():
        return model
    request = {"model": model, "revision": revision, "weights": weights}
    with socket.socket(fileno=os.dup(int(channel))) as hub, hub.makefile("rw", encoding="utf-8") as lines:
        print(json.dumps(request), file=lines, flush=True)
        answer = json.loads(lines.readline() or "{}")
    if "directory" not in answer:
        raise CompileError(answer.get("error") or f'"{model}" was not fetched: neuron-blip ended.')
    return str(answer["directory"])


def shown(model: str) -> str:
    """A model as progress lines have it: by its name on the Hub, where its directory is of the cache."""
    return name_of(Path(model)) if Path(model).parent.name == "snapshots" else model


def name_of(directory: Path) -> str:
    """A model's name: that of the Hub where the directory is in its cache, else the directory's own."""
    repository = directory.parent.parent.name
    if directory.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return directory.name
