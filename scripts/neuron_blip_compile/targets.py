"""Where a part is traced for: the CPU, by torch itself, or Inferentia2, by torch_neuronx."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from .errors import CompileError

logger = logging.getLogger(__name__)

# `--auto-cast-type` alone casts nothing since SDK 2.27, where the default of `--auto-cast` became "none". fp16 is the
# tutorial's type and rounds eight times finer than bf16; BLIP's matrix operands are far from fp16's limit of 65504, and
# "matmult" leaves the attention masks (-3.4e38, beyond that limit) in float32.
DEFAULT_COMPILER_ARGS = "--auto-cast=matmult --auto-cast-type=fp16"

INSTALL_NEURON = """\
--target inf2 needs torch_neuronx and the Neuron compiler, and they are not installed in this Python ({reason}).
They are to be had for x86-64 Linux only (Ubuntu 22.04 or newer, Amazon Linux 2023), with Python 3.11 to 3.13:
  - on an Inf2, Trn1 or Trn2 host with AWS's Neuron DLAMI: activate its environment first, for example
      source /opt/aws_neuronx_venv_pytorch_2_9/bin/activate
      pip install -r {requirements}
  - on any other such host, from AWS's own package index (its address is in the AWS Neuron documentation, "torch-neuronx
    setup"):
      pip install torch-neuronx==2.9.* neuronx-cc==2.*
      pip install -r {requirements}
    This compiles without a Neuron device; the result is checked on the Inf2 host.
torch-neuronx brings its own version of torch: use an environment made for it. To run on this machine: --target cpu."""

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def compiler_args_of(text: str | None, target: str) -> tuple[str, ...]:
    """The Neuron compiler's arguments; `text` is what the user gave, None for the default.

    Raises CompileError for arguments that no compiler would see, or that contradict the target.
    """
    if target == "cpu":
        if text:
            raise CompileError("--compiler-args are the Neuron compiler's: they have no meaning with --target cpu.")
        return ()
    try:
        args = shlex.split(DEFAULT_COMPILER_ARGS if text is None else text)
    except ValueError as error:
        raise CompileError(f"--compiler-args {text!r} cannot be split into arguments: {error}.") from error
    names = {arg.split("=")[0] for arg in args}
    if "--auto-cast-type" in names and "--auto-cast" not in names:
        logger.warning(
            "--auto-cast-type without --auto-cast casts nothing (the compiler's default is none): "
            "add --auto-cast=matmult or --auto-cast=all"
        )
    return tuple(args)


def neuron_version() -> tuple[str, str | None]:
    """Versions of torch_neuronx and, where it can be told, of neuronx-cc. Raises CompileError without torch_neuronx."""
    version = getattr(_torch_neuronx(), "__version__", None) or _installed("torch-neuronx") or "unknown"
    return str(version), _installed("neuronx-cc")


def trace(
    part: str, module: nn.Module, example: Sequence[Tensor], target: str, args: Sequence[str], log_directory: Path
) -> torch.jit.ScriptModule:
    """Traces one part. Raises CompileError where the compiler refuses."""
    if target == "cpu":
        # strict=False: the vision model returns a dict. The re-run that check_trace makes sees the example inputs only;
        # check.py compares on others.
        return torch.jit.trace(module, tuple(example), strict=False, check_trace=False)
    neuronx = _torch_neuronx()
    arguments = list(args)
    options: dict[str, object] = {}
    if not has_neuron_device():
        if "cpu_backend" not in inspect.signature(neuronx.trace).parameters:
            raise CompileError(
                f"This host has no Neuron device (/dev/neuron0), and torch_neuronx {neuron_version()[0]} cannot "
                "compile without one. Compile on an Inf2 host, or install torch-neuronx 2.9."
            )
        options["cpu_backend"] = True
        if not any(arg.split("=")[0] == "--target" for arg in arguments):
            arguments += ["--target", "inf2"]
    workdir = log_directory / "neuronx-cc" / part
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        return neuronx.trace(module, tuple(example), compiler_workdir=str(workdir), compiler_args=arguments, **options)
    except Exception as error:
        raise CompileError(f"The Neuron compiler failed on {part}: {error}\nIts own log is in {workdir}.") from error


def has_neuron_device() -> bool:
    """Whether this host has a Neuron device, so that what was compiled can be run here."""
    return Path("/dev/neuron0").exists()


def _torch_neuronx() -> ModuleType:
    try:
        return importlib.import_module("torch_neuronx")
    except Exception as error:  # a broken installation raises OSError, RuntimeError and others
        logger.debug("import torch_neuronx failed", exc_info=True)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        requirements = shlex.quote(str(REQUIREMENTS))
        raise CompileError(INSTALL_NEURON.format(reason=reason, requirements=requirements), exit_code=3) from error


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
