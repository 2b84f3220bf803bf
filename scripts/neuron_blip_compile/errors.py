"""The one error that this package expects and explains."""

from __future__ import annotations


class CompileError(Exception):
    """Something the user can mend: the message says what was wrong and what to do. Shown without a traceback.

    exit_code: 1, or 3 where something has to be installed first.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
