"""One compilation from end to end: what is out of date is traced, checked and, once all is well, put in place."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from . import manifest, targets
from .check import compiled_sequences, count_equal, eager_sequences, largest_difference
from .errors import CompileError
from .examples import Example, make_example
from .files import read_json, sha256_of_file, sha256_of_json, write_atomically, write_json
from .progress import step
from .settings import Settings
from .source import Source, generation_config, load_source, write_processor
from .wrappers import PARTS, wrap

logger = logging.getLogger(__name__)

# Parts wait here until all are made and checked: a run that stops early leaves the directory as it was, and the next
# one takes up what is finished.
STAGING = ".compiling"
CHECKS = 4


@dataclass(frozen=True)
class Request:
    """What the command line asked for. `processor`: where to take the processor from, by default the model itself."""

    model: str
    directory: Path
    settings: Settings
    revision: str | None
    processor: str | None
    log_directory: Path
    tolerance: float
    force: bool


def compile_model(request: Request) -> None:
    """Brings a model directory up to date. Raises CompileError."""
    directory, settings = request.directory, request.settings
    neuron = targets.neuron_version() if settings.target == "inf2" else None
    with step(f"Loading {request.model}"):
        source = load_source(request.model, request.revision)
    settings.check(source.model.config.text_config.max_position_embeddings)
    with _locked(directory) as staging:
        with step("Writing configuration and tokenizer"):
            small = staging / "small"
            shutil.rmtree(small, ignore_errors=True)
            small.mkdir()
            _write_small_files(request, source, small)
        record = _compile_parts(request, source, staging, manifest.versions(neuron))
        for path in [*staging.glob("*.pt"), *staging.glob("*.safetensors")] if record else []:
            os.replace(path, directory / path.name)
        for path in sorted(small.iterdir()):
            target = directory / path.name
            if not target.is_file() or target.read_bytes() != path.read_bytes():
                os.replace(path, target)
        if record:
            # Last: until then, the manifest there tells every reader that the files are not those it describes.
            write_json(directory / manifest.FILE, record)
        shutil.rmtree(staging)


def _write_small_files(request: Request, source: Source, out: Path) -> None:
    source.model.config.save_pretrained(out)
    generation_config(source.model).save_pretrained(out)
    write_processor(
        request.processor or request.model,
        None if request.processor else request.revision,
        source,
        out,
    )


def _compile_parts(
    request: Request, source: Source, staging: Path, used: Mapping[str, str | None]
) -> dict[str, Any] | None:
    """Makes what is out of date, in the staging directory. Returns the new manifest; None where nothing is to do."""
    directory, settings = request.directory, request.settings
    recorded = manifest.read_parts(directory)
    digests = {part: manifest.made_from(part, source, settings, used) for part in PARTS}
    entries: dict[str, dict[str, Any]] = {}
    files: dict[str, Path] = {}
    for part in PARTS:
        file = f"{part}.pt"
        finished = read_json(staging / f"{part}.json")
        for entry, path in ((recorded.get(part), directory / file), (finished, staging / file)):
            if not request.force and manifest.is_up_to_date(entry, path, digests[part]):
                entries[part], files[part] = entry, path
                break

    reference = (read_json(directory / manifest.FILE) or {}).get("reference")
    whole = sha256_of_json([digests[part] for part in PARTS])
    in_place = len(entries) == len(PARTS) and all(path.parent == directory for path in files.values())
    if in_place and manifest.is_up_to_date(reference, directory / manifest.REFERENCE, whole):
        for part in PARTS:
            _say(part, "up to date", entries[part])
        return None

    parts = wrap(source.model)
    checkable = settings.target == "cpu" or targets.has_neuron_device()
    examples = [make_example(source.model, parts, settings, source.image_size, seed) for seed in range(CHECKS)]
    compiled: dict[str, Any] = {}
    for part in PARTS:
        if part in entries:
            _say(part, "up to date", entries[part])
        else:
            entries[part] = _trace_part(part, parts[part], request, examples[0], staging, digests[part])
            files[part] = staging / f"{part}.pt"
        fresh = files[part].parent == staging
        if checkable:
            with step(f"Checking {part}" if fresh else f"Loading {part}"):
                compiled[part] = torch.jit.load(str(files[part]), map_location="cpu")
                if fresh:
                    _check_part(part, compiled[part], source, examples, request, entries[part])
        if fresh:
            write_json(staging / f"{part}.json", entries[part])

    with step("Answering with transformers"):
        sequences = eager_sequences(source.model, examples[0], settings.answer_length)
    if checkable:
        with step("Comparing answers"):
            _check_answers(compiled, source, examples, sequences, settings)
    else:
        print("not checked: this host has no Neuron device. On the Inf2 host, compare with reference.safetensors.")

    tensors = _reference_tensors(parts, examples[0], sequences)
    reference_file = staging / manifest.REFERENCE
    content = save(tensors, metadata={"format": "pt", "max_new_tokens": str(settings.answer_length)})
    write_atomically(reference_file, lambda temporary: temporary.write_bytes(content))
    reference = {
        "file": manifest.REFERENCE,
        "size": reference_file.stat().st_size,
        "sha256": sha256_of_file(reference_file),
        "made_from": whole,
    }
    # Left over from a run with other settings, and finished in the meantime.
    for part, path in files.items():
        if path.parent == directory:
            (staging / f"{part}.pt").unlink(missing_ok=True)
    return manifest.build(source, settings, used, entries, reference)


def _trace_part(
    part: str, module: nn.Module, request: Request, example: Example, staging: Path, digest: str
) -> dict[str, Any]:
    """Traces one part into the staging directory and returns its record for the manifest."""
    settings = request.settings
    inputs = example.inputs[part]
    began = time.monotonic()
    with step(f"Tracing {part}"), torch.no_grad():
        traced = targets.trace(part, module, inputs, settings.target, settings.compiler_args, request.log_directory)
        output = module(*inputs)
        path = staging / f"{part}.pt"
        write_atomically(path, lambda temporary: torch.jit.save(traced, str(temporary)))
    entry = {
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": sha256_of_file(path),
        "inputs": manifest.specs(dict(zip(module.inputs, inputs, strict=True))),
        "outputs": manifest.specs(output if isinstance(output, dict) else {module.outputs[0]: output}),
        "made_from": digest,
        "max_abs_difference": None,
    }
    _say(part, f"traced in {time.monotonic() - began:.1f} s", entry)
    return entry


def _check_part(
    part: str, compiled: Any, source: Source, examples: list[Example], request: Request, entry: dict[str, Any]
) -> None:
    """Compares one part with the eager model, and puts the largest difference into its record."""
    results = [largest_difference(part, compiled, source.model, example) for example in examples]
    difference, scale = max(result[0] for result in results), max(result[1] for result in results)
    entry["max_abs_difference"] = difference
    print(f"{part:<13} largest difference from transformers {difference:.2g} (values up to {scale:.3g})", flush=True)
    if request.settings.target == "cpu" and difference > request.tolerance * max(1.0, scale):
        raise CompileError(
            f"{part} differs from transformers by {difference:.2g}, more than --tolerance {request.tolerance:g} times "
            f"{max(1.0, scale):.3g}. Nothing was replaced. Please report the versions in {request.log_directory}."
        )


def _check_answers(
    compiled: Mapping[str, Any], source: Source, examples: list[Example], sequences: Tensor, settings: Settings
) -> None:
    """Compares greedy answers; on the CPU they must be equal, on Neuron rounding may turn a close race."""
    length = settings.answer_length
    wanted = [sequences, eager_sequences(source.model, examples[1], length)]
    found = [compiled_sequences(compiled, source.model, example, length) for example in examples[:2]]
    equal, count = sum(map(count_equal, found, wanted)), sum(map(len, wanted))
    print(f"answers       {equal} of {count} equal to transformers' generate", flush=True)
    if settings.target == "cpu" and equal < count:
        logger.debug("found %s wanted %s", found, wanted)
        raise CompileError(
            f"{count - equal} of {count} answers differ from transformers' generate. Nothing was replaced."
        )


@torch.no_grad()
def _reference_tensors(parts: Mapping[str, nn.Module], example: Example, sequences: Tensor) -> dict[str, Tensor]:
    """What any host can compare a loaded directory with: inputs, and the eager model's outputs for them."""
    tensors: dict[str, Tensor] = {}
    for part, module in parts.items():
        output = module(*example.inputs[part])
        named = output if isinstance(output, dict) else {module.outputs[0]: output}
        tensors |= {f"{part}.input.{name}": t for name, t in zip(module.inputs, example.inputs[part], strict=True)}
        tensors |= {f"{part}.output.{name}": tensor for name, tensor in named.items()}
    tensors["generate.pixel_values"] = example.inputs["vision_model"][0]
    tensors["generate.input_ids"], tensors["generate.attention_mask"] = example.inputs["text_encoder"][:2]
    tensors["generate.sequences"] = sequences
    # safetensors refuses tensors that share memory.
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


@contextmanager
def _locked(directory: Path) -> Iterator[Path]:
    """The directory's staging directory, for one process at a time; the system frees the lock of one that died.

    The lock file stays: were it removed, one process could lock the removed file while another locks a new one.
    """
    staging = directory / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    with (directory / f"{STAGING}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CompileError(f'Another process is compiling into "{directory}". Wait for it, or end it.') from error
        try:
            yield staging
        finally:
            if staging.is_dir() and not any(staging.glob("*.pt")):
                shutil.rmtree(staging)


def _say(part: str, what: str, entry: Mapping[str, Any]) -> None:
    print(f"{part:<13} {what}, {entry['size'] / 1e6:.1f} MB", flush=True)
