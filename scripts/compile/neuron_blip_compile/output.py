"""The standard output, which may be a closed pipe or a full disk."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import Any

from .errors import CompileError


class Output(io.TextIOBase):
    """The standard output: where its reader has gone, the work goes on unheard; where it cannot be written, it ends."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._guarded(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._guarded(lambda: self._stream.flush())

    def _guarded(self, use: Callable[[], object]) -> None:
        try:
            use()
        except OSError as error:
            # What is still in its buffer would be written again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if error.errno != errno.EPIPE:
                raise CompileError(f"cannot write the standard output: {error.strerror}.") from error
