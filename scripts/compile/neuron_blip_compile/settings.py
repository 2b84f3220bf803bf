"""What a compilation is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import UsageError


@dataclass(frozen=True)
class NeuronOptions:
    """Ways of torch_neuronx to load a part.

    async_load: let loading return before the part is on its NeuronCore.
    lazy_load: put the part on its NeuronCore when it is first called.
    """

    async_load: bool = False
    lazy_load: bool = False


@dataclass(frozen=True)
class Settings:
    """Shapes and target of a compiled model.

    question_length: tokens of a question or text, [CLS] and [SEP] included. None: not asked for, until the head
        (`Head.complete`) puts its default; after that, the head has no such length.
    answer_length: tokens that the decoder can read, the first and a caption's prompt included; what it generates ends
        with one more, which it need not read. None as above.
    batch_sizes: rows of one run of a part, increasing; each part is made for every one. The first is the primary.
    target: "cpu" or "inf2".
    compiler_args: arguments of the Neuron compiler; empty for "cpu".
    rank: whether to make the part that ranks given answers, too.
    neuron: how parts for Neuron are made and loaded.
    """

    question_length: int | None
    answer_length: int | None
    batch_sizes: tuple[int, ...]
    target: str
    compiler_args: tuple[str, ...]
    rank: bool = False
    neuron: NeuronOptions = NeuronOptions()

    @property
    def batch_size(self) -> int:
        """The primary batch size."""
        return self.batch_sizes[0]

    def for_batch_size(self, size: int) -> Settings:
        """The same settings with that batch size alone."""
        return replace(self, batch_sizes=(size,))

    def check(self, max_positions: int) -> None:
        """Raises UsageError for lengths that a model with `max_positions` position embeddings cannot have, for batch
        sizes that do not increase, and for Neuron's options with another target.
        """
        lengths = (("--question-length", self.question_length, 3), ("--answer-length", self.answer_length, 1))
        for name, value, least in (*lengths, *(("--batch-size", size, 1) for size in self.batch_sizes)):
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}.")
        for name, value, _ in lengths:
            if value is not None and value > max_positions:
                raise UsageError(
                    f"{name} {value} is longer than this model can read: it has {max_positions} positions "
                    "(text_config.max_position_embeddings in its config.json). Ask for fewer."
                )
        if sorted(set(self.batch_sizes)) != list(self.batch_sizes):
            given, wanted = (" ".join(map(str, sizes)) for sizes in (self.batch_sizes, sorted(set(self.batch_sizes))))
            raise UsageError(f"--batch-size {given} does not increase. Give each size once: --batch-size {wanted}.")
        for name, value in asdict(self.neuron).items():
            if value and self.target != "inf2":
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} has no meaning with --target {self.target}: leave it out.")

    def of(self, length: str) -> int:
        """A length by its name, "question_length" or "answer_length", of a head that has it."""
        value = getattr(self, length)
        if value is None:
            raise ValueError(f"this head has no {length}")
        return int(value)

    def of_part(self, lengths: Iterable[str]) -> dict[str, Any]:
        """The settings that one part depends on, of all lengths those it names: a longer answer leaves others be."""
        used: dict[str, Any] = {
            "target": self.target,
            "compiler_args": list(self.compiler_args),
            "batch_size": self.batch_size,
        }
        if self.target == "inf2":
            used |= asdict(self.neuron)
        return used | {length: self.of(length) for length in lengths}
