"""The errors that this package expects and explains, shown without a traceback."""

from __future__ import annotations


class CompileError(Exception):
    """Something the user can mend: the message says what was wrong and what to do. Exit code 1."""

    exit_code = 1


class UsageError(CompileError):
    """Arguments that have no meaning, or contradict each other or the model. Exit code 2."""

    exit_code = 2


class Ended(BaseException):
    """The process was asked to end by a signal, such as SIGTERM: what cleans up runs. Exit code 128 and its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
