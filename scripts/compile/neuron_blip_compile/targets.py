"""Where a part is traced for: the CPU, by torch itself, or Inferentia2, by torch_neuronx."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import inspect
import logging
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from .errors import CompileError, UsageError
from .progress import LOG_FILE
from .sdk import SDK
from .settings import Settings

logger = logging.getLogger(__name__)

# `--auto-cast-type` alone casts nothing since SDK 2.27, where the default of `--auto-cast` became "none". fp16 is the
# tutorial's type and rounds eight times finer than bf16; BLIP's matrix operands and masks (see wrappers.MASKED) are far
# from fp16's limit of 65504. Infinities that the compiler's own transposes come to are saturated all the same. All parts
# are transformers, the vision model too. The level of optimisation is left at the compiler's default.
DEFAULT_COMPILER_ARGS = (
    "--auto-cast=matmult --auto-cast-type=fp16 --model-type=transformer --enable-saturate-infinity"
)

INSTALL_NEURON = """\
--target inf2 needs torch_neuronx and the Neuron compiler, and they are not installed in this Python ({reason}).
They are to be had for x86-64 Linux with glibc {glibc} or newer only (Ubuntu {systems}, Debian 12):
  - on an Inf2, Trn1 or Trn2 host with AWS's image "{image}" of SDK {sdk} ({dates}): activate its environment first,
      source {environment}/bin/activate
      pip install -r {requirements}
  - on any other such host, from AWS's own package index (its address is in the AWS Neuron documentation, "torch-neuronx
    setup"):
      pip install torch-neuronx=={torch_neuronx} neuronx-cc=={neuronx_cc}
      pip install -r {requirements}
    This compiles without a Neuron device; the result is checked on the Inf2 host.
torch-neuronx brings its own version of torch, {torch}: use an environment made for it. {newer_torch}.
To run on this machine: --target cpu."""

DEVICE = Path("/dev/neuron0")

SERIALIZATION_ID = ".data/serialization_id"

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def compiler_args_of(text: str | None, target: str) -> tuple[str, ...]:
    """The Neuron compiler's arguments; `text` is what the user gave, None for the default.

    Raises UsageError for arguments that no compiler would see, or that contradict the target.
    """
    if target == "cpu":
        if text:
            raise UsageError("--compiler-args are the Neuron compiler's: they have no meaning with --target cpu.")
        return ()
    try:
        args = shlex.split(DEFAULT_COMPILER_ARGS if text is None else text)
    except ValueError as error:
        raise UsageError(f"--compiler-args {text!r} cannot be split into arguments: {error}.") from error
    names = {arg.split("=")[0] for arg in args}
    if "--auto-cast=all" in args or ("--auto-cast", "all") in zip(args, args[1:]):
        logger.warning(
            "--auto-cast=all casts what is no matrix product too, such as softmax and normalisation, which is known to give "
            "values that are no numbers: --auto-cast=matmult casts matrix products only"
        )
    if "--auto-cast-type" in names and "--auto-cast" not in names:
        logger.warning(
            "--auto-cast-type without --auto-cast casts nothing (the compiler's default is none): "
            "add --auto-cast=matmult or --auto-cast=all"
        )
    return tuple(args)


def neuron_version(settings: Settings) -> tuple[str, str | None]:
    """Versions of torch_neuronx and, where it can be told, of neuronx-cc.

    Raises CompileError without torch_neuronx, or where it has not got what the settings ask for.
    """
    neuronx = _torch_neuronx()
    version = str(getattr(neuronx, "__version__", None) or _installed("torch-neuronx") or "unknown")
    if not hasattr(neuronx, "trace"):
        raise CompileError(
            f"torch_neuronx {version} cannot trace models: {SDK['newer_torch']}. Inf2 needs torch-neuronx "
            f"{SDK['torch_minor']} or earlier: use an environment that has it.",
        )
    wanted = [name for name in ("async_load", "lazy_load") if getattr(settings.neuron, name)]
    missing = [f"--{name.replace('_', '-')}" for name in wanted if not hasattr(neuronx, name)]
    if missing:
        raise CompileError(
            f"torch_neuronx {version} does not know {' and '.join(missing)}. Leave that out, or compile with "
            f"torch-neuronx {SDK['torch_minor']}, which does."
        )
    return version, _installed("neuronx-cc")


def trace(
    name: str, module: nn.Module, example: Sequence[Tensor], settings: Settings, log_directory: Path
) -> tuple[torch.jit.ScriptModule, Path]:
    """Traces one part. Returns it and where the log is: a file, or the Neuron compiler's directory.

    name: of the part and its batch size, for messages. Raises CompileError where the compiler refuses.
    """
    if settings.target == "cpu":
        # strict=False: the vision model returns a dict. The re-run that check_trace makes sees the example inputs only;
        # check.py compares on others.
        traced = torch.jit.trace(module, tuple(example), strict=False, check_trace=False)
        return traced, log_directory / LOG_FILE
    neuronx = _torch_neuronx()
    arguments = list(settings.compiler_args)
    options: dict[str, object] = {}
    if device_of(settings.target) is None:
        if not _takes(neuronx.trace, "cpu_backend"):
            raise CompileError(
                f"This host has no Neuron device ({DEVICE}), and torch_neuronx {neuron_version(settings)[0]} cannot "
                f"compile without one. Compile on an Inf2 host, or install torch-neuronx {SDK['torch_minor']}."
            )
        options["cpu_backend"] = True
        if not any(arg.split("=")[0] == "--target" for arg in arguments):
            arguments += ["--target", "inf2"]
    workdir = log_directory / "neuronx-cc" / name
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        traced = neuronx.trace(
            module, tuple(example), compiler_workdir=str(workdir), compiler_args=arguments, **options
        )
    except Exception as error:
        raise CompileError(
            f"The Neuron compiler failed on {name}, batch size {settings.batch_size}: {error}\n"
            f"Its own log is in {workdir}.\n"
            f"What to try: {'a smaller --batch-size; ' if settings.batch_size > 1 else ''}shorter lengths; other "
            f'--compiler-args than "{shlex.join(settings.compiler_args)}", such as --optlevel=1 or without casts; more '
            "memory, of which the compiler needs several times the part's size.\nParts that are finished are kept for "
            "the next run."
        ) from error
    # Saving keeps these.
    if settings.neuron.async_load:
        neuronx.async_load(traced)
    if settings.neuron.lazy_load:
        neuronx.lazy_load(traced)
    return traced, workdir


def save(module: torch.jit.ScriptModule, path: Path, target: str) -> None:
    """Writes a traced part.

    One for the CPU is written without TorchScript's debug records, which name the files of this machine that the model
    was traced from; one for Neuron as its compiler made it.
    """
    # torch's writer ends the process where a disk is full.
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
    free = shutil.disk_usage(path.parent).free
    if free < 2 * size + 2**20:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {2 * size / 1e6:.0f} MB are needed, {free / 1e6:.0f} free")
    torch.jit.save(module, str(path))
    if target != "cpu":
        return
    written = path.with_name("with-debug-records")
    path.rename(written)
    copy_without_debug_records(written, path)
    written.unlink()


def copy_without_debug_records(source: Path, path: Path) -> None:
    """Copies a TorchScript archive without its debug records. The archive's name becomes that of `path`."""
    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        # The writer makes the id itself, of what it wrote.
        if not name.endswith((".debug_pkl", SERIALIZATION_ID)):
            content = reader.get_record(name)
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


def device_of(target: str) -> str | None:
    """Where parts of that target can be run on this host: "cpu", "neuron", or None for nowhere.

    "stand-in" where the tests' stand-in for torch_neuronx is imported, and has pretended hardware.
    """
    if target == "cpu":
        return "cpu"
    if "standin" in str(getattr(_torch_neuronx(), "__version__", "")):
        return "stand-in" if os.environ.get("NEURON_BLIP_STAND_IN") else None
    return "neuron" if DEVICE.exists() else None


def _torch_neuronx() -> ModuleType:
    try:
        return importlib.import_module("torch_neuronx")
    except Exception as error:  # a broken installation raises OSError, RuntimeError and others
        logger.debug("import torch_neuronx failed", exc_info=True)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        requirements = shlex.quote(str(REQUIREMENTS))
        raise CompileError(
            INSTALL_NEURON.format(
                reason=reason,
                requirements=requirements,
                systems=" or ".join(SDK["systems"]),
                dates=", ".join(SDK["image_dates"]),
                torch_neuronx=SDK["pip"]["torch-neuronx"],
                neuronx_cc=SDK["pip"]["neuronx-cc"],
                **{name: SDK[name] for name in ("sdk", "glibc", "image", "environment", "torch", "newer_torch")},
            ),
        ) from error


def _takes(function: Callable[..., object], keyword: str) -> bool:
    return keyword in inspect.signature(function).parameters


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
