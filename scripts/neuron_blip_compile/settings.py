"""What a compilation is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import CompileError


@dataclass(frozen=True)
class Settings:
    """Shapes and target of a compiled model.

    question_length: tokens of a question, [CLS] and [SEP] included.
    answer_length: tokens of an answer that the decoder can read; it can generate as many.
    batch_size: questions answered in one run of a part.
    target: "cpu" or "inf2".
    compiler_args: arguments of the Neuron compiler; empty for "cpu".
    """

    question_length: int
    answer_length: int
    batch_size: int
    target: str
    compiler_args: tuple[str, ...]

    def check(self, max_positions: int) -> None:
        """Raises CompileError for lengths that a model with `max_positions` position embeddings cannot have."""
        for name, value, least in (
            ("--question-length", self.question_length, 3),
            ("--answer-length", self.answer_length, 1),
            ("--batch-size", self.batch_size, 1),
        ):
            if value < least:
                raise CompileError(f"{name} must be at least {least}, not {value}.")
        for name, value in (("--question-length", self.question_length), ("--answer-length", self.answer_length)):
            if value > max_positions:
                raise CompileError(
                    f"{name} {value} is longer than this model can read: it has {max_positions} positions "
                    "(text_config.max_position_embeddings in its config.json). Ask for fewer."
                )

    def of_part(self, part: str) -> dict[str, int | str | list[str]]:
        """The settings that one part depends on: a longer answer leaves the vision model and the text encoder be."""
        used: dict[str, int | str | list[str]] = {
            "target": self.target,
            "compiler_args": list(self.compiler_args),
            "batch_size": self.batch_size,
        }
        if part != "vision_model":
            used["question_length"] = self.question_length
        if part == "text_decoder":
            used["answer_length"] = self.answer_length
        return used
