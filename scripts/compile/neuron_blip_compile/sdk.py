"""The AWS Neuron SDK that this project is for, and what of it there is on this host."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any

# The one place of these versions; lib/torch/neuron/sdk-versions.ts reads it too.
SDK: dict[str, Any] = json.loads((Path(__file__).resolve().parent.parent / "neuron-versions.json").read_text("utf-8"))

LIBNRT = "/opt/aws/neuron/lib/libnrt.so.1"


def sdk_of(torch_neuronx: str, neuronx_cc: str | None) -> str | None:
    """The SDK that both versions are of; None where they are not of the one that is known here."""
    # Wheels add a build's name: 2.26.6360.0+ab12cd34.
    compiler = (neuronx_cc or "").split("+")[0]
    known = (torch_neuronx.split("+")[0], compiler) == (SDK["pip"]["torch-neuronx"], SDK["pip"]["neuronx-cc"])
    return str(SDK["sdk"]) if known else None


def runtime_version() -> str | None:
    """The version of this host's Neuron runtime, such as "2.33.10.0"; None without one. Claims no core."""
    path = os.environ.get("NEURON_BLIP_LIBNRT") or LIBNRT
    if Path(path).is_dir():
        path = str(Path(path) / "libnrt.so.1")
    try:
        get_version = ctypes.CDLL(path).nrt_get_version
    except (OSError, AttributeError):
        return None
    # nrt_version_t of the public header: four numbers, then texts.
    version = (ctypes.c_uint64 * 28)()
    get_version.argtypes, get_version.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_int
    if get_version(ctypes.byref(version), ctypes.sizeof(version)) != 0:
        return None
    return ".".join(str(number) for number in version[:4])
