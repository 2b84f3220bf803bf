"""A stand-in for AWS's torch_neuronx, for this project's tests on machines without a Neuron device or compiler.

Written from public facts only, with the public names and signatures of torch-neuronx 2.9. Its "NEFF" is a torch.jit.trace for
the CPU, which the stand-in for libtorchneuron.so runs. It shows that the compiler is called as documented and that what comes of
it loads and runs as a compiled artifact does; whether a model compiles for a device, and what it answers there, it cannot show.

Needs the libraries that scripts/addon/build-stand-ins.mjs builds: libtorchneuron.so is the one that NEURON_BLIP_STAND_IN_LIB names, or
is looked for in `lib` beside this file, then in the project's build directory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ._settings import async_load, dynamic_batch, lazy_load, set_neuron_cores
from ._trace import trace

__version__ = "2.9.0+standin"
__all__ = ["async_load", "dynamic_batch", "lazy_load", "set_neuron_cores", "trace"]


def _library() -> Path:
    here = Path(__file__).resolve()
    places = [here.parent / "lib" / "libtorchneuron.so"]
    if len(here.parents) > 4:  # a copy elsewhere may have fewer directories above it
        places.append(here.parents[4] / "build" / "stand-ins" / "lib" / "libtorchneuron.so")
    if path := os.environ.get("NEURON_BLIP_STAND_IN_LIB"):
        places = [Path(path)]
    for place in places:
        if place.is_file():
            return place
    raise ImportError(
        f"the stand-in for libtorchneuron.so is not at {' or '.join(map(str, places))}. "
        "Build it: node scripts/addon/build-stand-ins.mjs"
    )


torch.ops.load_library(str(_library()))
print("torch_neuronx: neuron-blip's stand-in, for tests: nothing is compiled for a device", file=sys.stderr)
