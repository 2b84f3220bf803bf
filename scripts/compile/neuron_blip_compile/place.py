"""Where a compilation reads and writes files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where files are: the model directory, the staging directory in it, and the logs."""

    directory: Path
    staging: Path
    log_directory: Path

    def relative_log(self, path: Path) -> str | None:
        """A log's path relative to the model directory; None for one elsewhere, which is this machine's affair."""
        directory, path = self.directory.resolve(), path.resolve()
        return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else None
