"""What a kind of BLIP, a "head", has to say about itself to be compiled: the interface that each of them fills in.

The words here: a *part* is one TorchScript file, an *example* one batch of inputs for all parts, and *results* are what
a user asks the whole model for (answers, captions, scores), made by transformers or through the compiled parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .errors import UsageError
from .examples import Example
from .settings import Settings
from .wrappers import VisionModel

Part = Any  # a callable of positional tensors: a wrapper or a loaded TorchScript module
Pairs = list[tuple[Tensor, Tensor]]


class Head(ABC):
    """One kind of model. It holds no state.

    architecture: the name in config.json's `architectures`, and of transformers' class.
    task: what it does, for messages. example_model: a checkpoint of that kind, for messages.
    default_question_length, default_answer_length: in tokens; None where the head has no such length.
    generates: whether it makes text, so that it has a generation_config.json.
    can_rank: whether it knows `--rank`.
    """

    architecture: ClassVar[str]
    task: ClassVar[str]
    example_model: ClassVar[str]
    default_question_length: ClassVar[int | None] = None
    default_answer_length: ClassVar[int | None] = None
    generates: ClassVar[bool] = False
    can_rank: ClassVar[bool] = False

    def complete(self, asked: Settings) -> Settings:
        """The settings with this head's defaults. Raises UsageError for options that it has no use for."""
        lengths: dict[str, int | None] = {}
        for option, field, default in (
            ("--question-length", "question_length", self.default_question_length),
            ("--answer-length", "answer_length", self.default_answer_length),
        ):
            value = getattr(asked, field)
            if value is not None and default is None:
                raise UsageError(f"{option} has no meaning for {self.architecture}, {self.task}: leave it out.")
            lengths[field] = default if value is None else value
        if asked.rank and not self.can_rank:
            raise UsageError(f"--rank has no meaning for {self.architecture}, {self.task}: leave it out.")
        return replace(asked, **lengths)

    def check_model(self, model: nn.Module) -> None:
        """Raises CompileError for a model of this kind that cannot work."""
        return

    @abstractmethod
    def wrap(self, model: nn.Module, settings: Settings) -> dict[str, nn.Module]:
        """The parts by name, in the order of their use; they share the model's weights.

        Each has `inputs` and `outputs`, the names of its tensors, and `lengths`, the names of the lengths (fields of
        Settings) that its trace depends on.
        """

    @abstractmethod
    def make_example(
        self, model: nn.Module, parts: Mapping[str, nn.Module], settings: Settings, image_size: int, seed: int
    ) -> Example:
        """One batch of inputs for all parts; everything in it follows from `seed`."""

    @torch.no_grad()
    def pairs(self, part: str, compiled: Part, model: nn.Module, example: Example) -> Pairs:
        """What a compiled part gives for an example, each beside what transformers' own module gives unpadded."""
        output = compiled(*example.inputs[part])
        if part == "vision_model":
            expected = model.vision_model(*example.inputs[part])
            return [(output[name], expected[name]) for name in VisionModel.outputs]
        return self.text_pairs(part, output, model, example)

    @abstractmethod
    def text_pairs(self, part: str, output: Any, model: nn.Module, example: Example) -> Pairs:
        """`pairs` of the parts after the vision model; `output` is what the compiled one gives."""

    @abstractmethod
    def eager_results(self, model: nn.Module, example: Example, settings: Settings) -> dict[str, Tensor]:
        """What transformers' model makes of each row of an example by itself: token ids (int64) or scores (float32)."""

    @abstractmethod
    def compiled_results(
        self, compiled: Mapping[str, Part], model: nn.Module, example: Example, settings: Settings
    ) -> dict[str, Tensor]:
        """The same through the compiled parts, as the package runs them."""

    def reference(self, example: Example, results: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors for reference.safetensors beside those of the parts, from `eager_results`; by default none."""
        return {}

    def reference_metadata(self, settings: Settings) -> dict[str, str]:
        """What reference.safetensors says about those tensors."""
        return {}
