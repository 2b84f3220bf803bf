"""What a compilation has to make: each part for each batch size is a piece, a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from . import manifest
from .settings import Settings
from .source import Source


@dataclass(frozen=True)
class Piece:
    """One part for one batch size.

    name: in the manifest; PART for the primary batch size, PART_batch_N for others. settings: with that batch size
    alone. module: the part's wrapper, which all batch sizes share. digest: of all that it is made from.
    """

    name: str
    part: str
    settings: Settings
    module: nn.Module
    digest: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.pt"


def make_plan(
    parts: Mapping[str, nn.Module], source: Source, settings: Settings, used: Mapping[str, str | None]
) -> dict[int, list[Piece]]:
    """The pieces by batch size, the primary first, each size's in the order of `parts`, the head's wrappers.

    used: the versions that a trace depends on, as `manifest.versions` gives them.
    """
    plan: dict[int, list[Piece]] = {}
    for size in settings.batch_sizes:
        alone = settings.for_batch_size(size)
        plan[size] = [
            Piece(
                name=part if size == settings.batch_size else f"{part}_batch_{size}",
                part=part,
                settings=alone,
                module=module,
                digest=manifest.made_from(part, module, source, alone, used),
            )
            for part, module in parts.items()
        ]
    return plan
