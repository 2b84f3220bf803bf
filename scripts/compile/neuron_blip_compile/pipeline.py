"""One compilation from end to end: what is out of date is traced, checked and, once all is well, put in place."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from . import manifest, targets
from .batches import Examples
from .errors import CompileError
from .examples import Example
from .files import read_json, remove_left_overs, sha256_of_file, sha256_of_json, write_atomically, write_json
from .generation import generation_config
from .head import Head
from .hub import shown
from .judge import PLACES, Judge
from .piece_maker import PieceMaker
from .place import Place
from .plan import make_plan
from .progress import step
from .settings import Settings
from .source import Source, find_head, load_source, write_processor

# Parts wait here until all are made and checked: a run that stops early leaves the directory as it was, and the next
# one takes up what is finished.
STAGING = ".compiling"


@dataclass(frozen=True)
class Request:
    """What the command line asked for. `processor`: where to take the processor from, by default the model itself.

    tolerance: see Judge.
    """

    model: str
    directory: Path
    settings: Settings
    revision: str | None
    processor: str | None
    log_directory: Path
    tolerance: float | None
    force: bool


def compile_model(request: Request) -> None:
    """Brings a model directory up to date. Raises CompileError."""
    directory = request.directory
    neuron = targets.neuron_version(request.settings) if request.settings.target == "inf2" else None
    with step(f"Loading {shown(request.model)}"):
        settings = find_head(request.model, request.revision).complete(request.settings)
        source = load_source(request.model, request.revision)
    request = replace(request, settings=settings)
    settings.check(source.model.config.text_config.max_position_embeddings)
    with _locked(directory) as staging:
        with step("Writing configuration and tokenizer"):
            small = staging / "small"
            shutil.rmtree(small, ignore_errors=True)
            small.mkdir()
            _write_small_files(request, source, small)
        before = manifest.read_parts(directory) | manifest.read_further_parts(directory)
        record, files = _compile_parts(request, source, staging, manifest.versions(neuron))
        for path in files:
            os.replace(path, directory / path.name)
        for path in sorted(small.iterdir()):
            target = directory / path.name
            if not target.is_file() or target.read_bytes() != path.read_bytes():
                os.replace(path, target)
        if record:
            # Last: until then, the manifest there tells every reader that the files are not those it describes.
            write_json(staging / manifest.FILE, record)
            os.replace(staging / manifest.FILE, directory / manifest.FILE)
            _remove_stale(directory, before, record, source.head)
        shutil.rmtree(staging)


def _write_small_files(request: Request, source: Source, out: Path) -> None:
    source.model.config.save_pretrained(out)
    if source.head.generates:
        generation_config(source.model).save_pretrained(out)
    write_processor(
        request.processor or request.model,
        None if request.processor else request.revision,
        source,
        out,
    )


def _remove_stale(directory: Path, before: Mapping[str, Any], record: Mapping[str, Any], head: Head) -> None:
    """Removes what an earlier run with other options, or of another head, wrote and the new manifest does not describe.

    before: the parts of the manifest that was there; where there was none, nothing is known to be ours.
    """
    stale = [f"{part}.pt" for part in before if part.isidentifier() and part not in record["parts"]]
    if before and not head.generates:
        stale.append("generation_config.json")
    for name in stale:
        (directory / name).unlink(missing_ok=True)


def _compile_parts(
    request: Request, source: Source, staging: Path, used: Mapping[str, str | None]
) -> tuple[dict[str, Any] | None, list[Path]]:
    """Makes what is out of date, in the staging directory.

    Returns the new manifest, None where the one that is there will do, and the files to put beside it.
    """
    directory, settings = request.directory, request.settings
    parts = source.head.wrap(source.model, settings)
    plan = make_plan(parts, source, settings, used)
    device = targets.device_of(settings.target)
    judge = Judge(device, request.tolerance, request.log_directory) if device else None
    if judge and device != "cpu":
        print(f"compiled parts are checked on {PLACES[judge.device]}", flush=True)
    recorded = manifest.read_parts(directory)
    place = Place(directory, staging, request.log_directory)
    maker = PieceMaker(source, place, recorded, judge, request.force)
    examples = {size: Examples(source, parts, pieces[0].settings) for size, pieces in plan.items()}
    for size, pieces in plan.items():
        maker.make(pieces, examples[size])
    entries = {piece.name: maker.entries[piece.name] for pieces in plan.values() for piece in pieces}
    if not all(map(manifest.is_checked, entries.values())):
        print(
            "not checked: this host has no Neuron device. On the Inf2 host, `neuron-blip validate DIR` compares it "
            "with reference.safetensors.",
            flush=True,
        )

    primary = plan[settings.batch_size]
    made_from = sha256_of_json([piece.digest for piece in primary])
    before = read_json(directory / manifest.FILE) or {}
    reference = before.get("reference")
    files = [path for path in maker.files.values() if path.parent == staging]
    if not manifest.is_up_to_date(reference, directory / manifest.REFERENCE, made_from):
        first = examples[settings.batch_size]
        path = _write_reference(staging, source, parts, primary[0].settings, first.batches[0], first.results)
        reference = {
            "file": path.name,
            "size": path.stat().st_size,
            "sha256": sha256_of_file(path),
            "made_from": made_from,
        }
        files.append(path)
    same = reference == before.get("reference") and "cpu_parts" not in before
    if not files and entries == recorded and same:
        return None, []
    return manifest.build(source, settings, used, entries, reference), files


def _write_reference(
    staging: Path,
    source: Source,
    parts: Mapping[str, nn.Module],
    settings: Settings,
    example: Example,
    results: Mapping[str, Tensor],
) -> Path:
    """Writes inputs and the eager model's outputs for the primary batch size, and returns where."""
    head = source.head
    tensors = _reference_tensors(parts, example) | head.reference(example, results)
    # safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    content = save(tensors, metadata={"format": "pt", **head.reference_metadata(settings)})
    path = staging / manifest.REFERENCE
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


@torch.no_grad()
def _reference_tensors(parts: Mapping[str, nn.Module], example: Example) -> dict[str, Tensor]:
    """What any host can compare the parts of a directory with: inputs, and the eager model's outputs for them."""
    tensors: dict[str, Tensor] = {}
    for part, module in parts.items():
        output = module(*example.inputs[part])
        named = output if isinstance(output, dict) else {module.outputs[0]: output}
        tensors |= {f"{part}.input.{name}": t for name, t in zip(module.inputs, example.inputs[part], strict=True)}
        tensors |= {f"{part}.output.{name}": tensor for name, tensor in named.items()}
    return tensors


@contextmanager
def _locked(directory: Path) -> Iterator[Path]:
    """The directory's staging directory, for one process at a time; the system frees the lock of one that died."""
    staging = directory / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    path = directory / f"{STAGING}.lock"
    with _lock(path, directory):
        try:
            remove_left_overs(staging)
            yield staging
        finally:
            if staging.is_dir() and not any(staging.glob("*.pt")):
                shutil.rmtree(staging)
            path.unlink()


@contextmanager
def _lock(path: Path, directory: Path) -> Iterator[None]:
    """Holds a lock file, which its holder may remove: one that was removed before it was locked is made anew."""
    while True:
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CompileError(
                    f'Another process is compiling into "{directory}". Wait for it, or end it.'
                ) from error
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(lock.fileno())):
                continue
            yield
            return
