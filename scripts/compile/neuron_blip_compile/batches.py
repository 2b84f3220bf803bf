"""Batches to trace and to check with, made when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor, nn

from .examples import Example
from .progress import step
from .settings import Settings
from .source import Source

CHECKS = 4


class Examples:
    """Batches of one size. `parts`: the head's wrappers; `settings`: with that batch size alone."""

    def __init__(self, source: Source, parts: Mapping[str, nn.Module], settings: Settings) -> None:
        self._source, self._parts, self._settings = source, parts, settings

    @cached_property
    def batches(self) -> list[Example]:
        """CHECKS of them; tracing uses the first."""
        make, model = self._source.head.make_example, self._source.model
        return [make(model, self._parts, self._settings, self._source.image_size, seed) for seed in range(CHECKS)]

    @cached_property
    def results(self) -> dict[str, Tensor]:
        """What transformers' model makes of the first."""
        with step("Running transformers' whole model"):
            return self._source.head.eager_results(self._source.model, self.batches[0], self._settings)
