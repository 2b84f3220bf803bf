"""Whether what was compiled is near enough to transformers' model, by where it ran."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from .errors import CompileError

logger = logging.getLogger(__name__)

CPU_TOLERANCE = 1e-4
# Casts to fp16 or bf16 change values by a part in a thousand or a hundred, and layers add up. A warning, since what is
# right depends on the casts asked for; `neuron-blip validate` uses the same figure.
NEURON_TOLERANCE = 5e-2

PLACES = {
    "cpu": "the CPU",
    "neuron": "NeuronCores",
    "stand-in": "a stand-in for Neuron, which says nothing of a device",
}


@dataclass(frozen=True)
class Judge:
    """Says how large a difference is, and whether that will do.

    device: where the compiled parts run: "cpu", "neuron" or "stand-in". tolerance: as a fraction of the largest value,
    or absolute where that is below 1; None for the default, which on the CPU must be kept and else only warns.
    """

    device: str
    tolerance: float | None
    log_directory: Path

    def difference(self, what: str, difference: float, scale: float) -> None:
        """Says how far `what` is from transformers, whose largest value is `scale`. Raises CompileError if too far."""
        told = f"largest difference from transformers {difference:.2g} (values up to {scale:.3g})"
        print(f"{what:<13} {told}", flush=True)
        default = CPU_TOLERANCE if self.device == "cpu" else NEURON_TOLERANCE
        tolerance = default if self.tolerance is None else self.tolerance
        if difference <= tolerance * max(1.0, scale):
            return
        told = (
            f"{what} differs from transformers by {difference:.2g}, more than {tolerance:g} times {max(1.0, scale):.3g}"
        )
        if self.device != "cpu" and self.tolerance is None:
            logger.warning(
                "%s. Casts may do that; --compiler-args with --auto-cast=none leaves them out, and --tolerance makes "
                "it an error.",
                told,
            )
            return
        raise CompileError(
            f"{told} (--tolerance). Nothing was replaced. "
            + (
                f"Please report the versions in {self.log_directory}."
                if self.device == "cpu"
                else "Allow more, or cast less, for example with --auto-cast=none among --compiler-args."
            )
        )

    def rows(self, what: str, equal: int, count: int, batch_size: int) -> None:
        """Says how many rows of tokens are transformers'. Raises CompileError where, on the CPU, some are not."""
        print(f"{what:<13} {equal} of {count} equal to transformers' generate, batch size {batch_size}", flush=True)
        if equal == count:
            return
        told = f"{count - equal} of {count} {what} differ from transformers' generate"
        if self.device == "cpu":
            raise CompileError(f"{told}. Nothing was replaced.")
        logger.warning(
            "%s (%.0f %%), batch size %d: rounding may turn a close race",
            told,
            100 * (count - equal) / count,
            batch_size,
        )
