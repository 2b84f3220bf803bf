"""Compares what was compiled with transformers' own model.

The comparison is with transformers' modules run on *unpadded* texts, one row at a time, not with the wrappers on the
same padded inputs: it would notice a wrapper that masks wrongly as well as a trace that kept something of the example
it was made with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .errors import CompileError
from .examples import Example
from .head import Head, Pairs, Part


def part_difference(part: str, compiled: Part, head: Head, model: nn.Module, example: Example) -> tuple[float, float]:
    """The largest absolute difference between a compiled part and the eager model, and the largest eager value.

    Raises CompileError where the compiled part gives another shape, or numbers that are none.
    """
    return largest_difference(f"The compiled {part}", head.pairs(part, compiled, model, example))


def largest_difference(what: str, pairs: Pairs) -> tuple[float, float]:
    """The largest absolute difference of found and wanted tensors, and the largest wanted value.

    Raises CompileError, in which `what` gave them, for other shapes and for numbers that are none.
    """
    for found, wanted in pairs:
        if found.shape != wanted.shape or not torch.isfinite(found).all():
            raise CompileError(
                f"{what} gives {list(found.shape)} where the eager model gives {list(wanted.shape)}"
                f"{'' if torch.isfinite(found).all() else ', with values that are not numbers'}."
            )
    difference = max((found - wanted).abs().max().item() for found, wanted in pairs)
    scale = max(wanted.abs().max().item() for _, wanted in pairs)
    return difference, scale


def count_equal(found: Tensor, wanted: Tensor) -> int:
    """How many rows of two batches of token ids are equal."""
    return int((found == wanted).all(dim=1).sum())
