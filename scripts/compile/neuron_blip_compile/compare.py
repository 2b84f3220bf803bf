"""Compares what the whole model gives through compiled parts with what transformers' model gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .batches import Examples
from .check import count_equal, largest_difference
from .head import Part
from .judge import Judge
from .progress import step
from .settings import Settings
from .source import Source

logger = logging.getLogger(__name__)

BATCHES = 2


def compare_results(
    compiled: Mapping[str, Part],
    source: Source,
    settings: Settings,
    examples: Examples,
    judge: Judge,
) -> None:
    """Compares answers, captions or scores of the first batches, and says what it found. Raises CompileError.

    compiled: the parts, by the names and with the signatures of the head's wrappers.
    """
    head, model = source.head, source.model
    batches = examples.batches[:BATCHES]
    wanted = [examples.results, *(head.eager_results(model, example, settings) for example in batches[1:])]
    with step("Comparing results"):
        found = [head.compiled_results(compiled, model, example, settings) for example in batches]
    for name in wanted[0]:
        pairs = [(ours[name], theirs[name]) for ours, theirs in zip(found, wanted, strict=True)]
        if wanted[0][name].is_floating_point():
            difference, scale = largest_difference(f"The compiled model's {name}", pairs)
            judge.difference(name, difference, scale)
            continue
        logger.debug("%s found and wanted: %s", name, pairs)
        equal, count = sum(count_equal(*pair) for pair in pairs), sum(len(theirs) for _, theirs in pairs)
        judge.rows(name, equal, count, settings.batch_size)
