"""Makes the pieces of one batch size: traces what is out of date, and compares it with transformers' model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from . import manifest, targets
from .batches import Examples
from .check import part_difference
from .compare import compare_results
from .errors import CompileError
from .examples import Example
from .files import read_json, sha256_of_file, write_atomically, write_json
from .judge import Judge
from .place import Place
from .plan import Piece
from .progress import step
from .source import Source


WARM_UPS = 2


class PieceMaker:
    """Makes pieces into the staging directory.

    recorded: the parts of the manifest that is in the directory. judge: None where the pieces cannot run here.
    entries, files: the manifest's record of each piece that was made or found, and where its file is.
    """

    def __init__(
        self, source: Source, place: Place, recorded: Mapping[str, Any], judge: Judge | None, force: bool
    ) -> None:
        self._source, self._place, self._recorded, self._judge = source, place, recorded, judge
        self._force = force
        self.entries: dict[str, dict[str, Any]] = {}
        self.files: dict[str, Path] = {}

    def make(self, pieces: Sequence[Piece], examples: Examples) -> None:
        """Makes the pieces of one batch size, as far as they are out of date. Raises CompileError."""
        unchecked = [piece for piece in pieces if not self._find(piece) or self._has_to_be_checked(piece)]
        staged = [piece for piece in pieces if piece.name in self.files and not self._is_in_place(piece)]
        compiled: dict[str, Any] = {}
        # Where anything is new, the whole model is compared too, for which every piece is loaded.
        load = bool(unchecked or staged)
        for piece in pieces:
            if piece.name in self.entries:
                _say(piece, "up to date", self.entries[piece.name])
            else:
                self._trace(piece, examples.batches[0])
            if not load or self._judge is None:
                continue
            check = piece in unchecked
            with step(f"{'Checking' if check else 'Loading'} {piece.name}"), self._running(piece.name):
                compiled[piece.part] = torch.jit.load(str(self.files[piece.name]), map_location="cpu")
                if self._judge.device != "cpu":
                    self._warm_up(compiled[piece.part], examples.batches[0].inputs[piece.part])
                if check:
                    self._check(piece, compiled[piece.part], examples.batches)
        if load and self._judge is not None:
            with self._running("model"):
                compare_results(compiled, self._source, pieces[0].settings, examples, self._judge)

    def _find(self, piece: Piece) -> bool:
        """Takes up a piece that is there, in place or from a run that stopped early. False where there is none."""
        if self._force:
            return False
        entries = (self._recorded.get(piece.name), read_json(self._record_of(piece)))
        # A run that was killed while it put files in place left the record here and the file there.
        for entry in entries:
            for folder in (self._place.directory, self._place.staging):
                path = folder / piece.file
                if manifest.is_up_to_date(entry, path, piece.digest):
                    self.entries[piece.name], self.files[piece.name] = dict(entry or {}), path
                    return True
        return False

    def _has_to_be_checked(self, piece: Piece) -> bool:
        """Whether a piece that was found can be checked here better than it was where it was made."""
        entry = self.entries[piece.name]
        if self._judge is None:
            return False
        return not manifest.is_checked(entry) or (
            entry.get("checked_on") == "stand-in" and self._judge.device == "neuron"
        )

    def _trace(self, piece: Piece, example: Example) -> None:
        """Traces a piece into the staging directory, and records it there as not checked yet."""
        settings, inputs = piece.settings, example.inputs[piece.part]
        path = self._place.staging / piece.file
        began = time.monotonic()
        with step(f"Tracing {piece.name}"), torch.no_grad():
            traced, log = targets.trace(piece.name, piece.module, inputs, settings, self._place.log_directory)
            seconds = time.monotonic() - began
            output = piece.module(*inputs)
            write_atomically(path, lambda temporary: targets.save(traced, temporary, settings.target))
        entry = {
            "file": path.name,
            "size": path.stat().st_size,
            "sha256": sha256_of_file(path),
            "inputs": manifest.specs(dict(zip(piece.module.inputs, inputs, strict=True))),
            "outputs": manifest.specs(output if isinstance(output, dict) else {piece.module.outputs[0]: output}),
            "made_from": piece.digest,
            "seconds": round(seconds, 3),
            "log": self._place.relative_log(log),
            "checked": False,
            "checked_on": None,
            "max_abs_difference": None,
        }
        self.entries[piece.name], self.files[piece.name] = entry, path
        write_json(self._record_of(piece), entry)
        _say(piece, f"traced in {seconds:.1f} s", entry)

    @staticmethod
    @torch.no_grad()
    def _warm_up(compiled: Any, inputs: Sequence[torch.Tensor]) -> None:
        """Runs a part on its NeuronCore: some were seen that hang on their second call."""
        for _ in range(WARM_UPS):
            compiled(*inputs)

    def _check(self, piece: Piece, compiled: Any, batches: Sequence[Example]) -> None:
        """Compares one piece with the eager model, and records the largest difference."""
        assert self._judge is not None
        head, model = self._source.head, self._source.model
        results = [part_difference(piece.part, compiled, head, model, example) for example in batches]
        difference, scale = max(result[0] for result in results), max(result[1] for result in results)
        self._judge.difference(piece.name, difference, scale)
        entry = self.entries[piece.name]
        entry |= {"checked": True, "checked_on": self._judge.device, "max_abs_difference": difference}
        if not self._is_in_place(piece):
            write_json(self._record_of(piece), entry)

    @contextmanager
    def _running(self, what: str) -> Iterator[None]:
        """Explains what Neuron's runtime raises."""
        try:
            yield
        except RuntimeError as error:
            if self._judge is None or self._judge.device == "cpu":
                raise
            raise CompileError(
                f"The compiled {what} does not run on this host's NeuronCores: {error}\nIts file is kept for the next "
                "run. Another process may hold the cores (neuron-ls shows which), or the driver may be missing: "
                "`neuron-blip doctor` tells."
            ) from error

    def _is_in_place(self, piece: Piece) -> bool:
        return self.files[piece.name].parent == self._place.directory

    def _record_of(self, piece: Piece) -> Path:
        return self._place.staging / f"{piece.name}.json"


def _say(piece: Piece, what: str, entry: Mapping[str, Any]) -> None:
    print(f"{piece.name:<13} {what}, {entry['size'] / 1e6:.1f} MB", flush=True)
