"""What surrounds a compilation: signals, the log, the output's reader, and what its errors mean."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import progress
from .errors import CompileError, Ended

logger = logging.getLogger("neuron_blip_compile")

GOES_ON = "Parts that are finished are kept: run the same command again, and it goes on from there."
# How often the weights are in memory at once, and Python with torch by itself: as in lib/cli/compile-memory.ts.
TIMES_WEIGHTS, PYTHON_BYTES = 3, 1e9
OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|cannot allocate memory|std::bad_alloc", re.I)
# What torch's writer says where the disk is full or the file may not be written.
NOT_WRITTEN = re.compile(r"PytorchStreamWriter|inline_container|iostream error|failed to write|No space left", re.I)


def run(directory: Path, log_directory: Path | None, compile_into: Callable[[Path], None]) -> int:
    """Runs a compilation into `directory` and returns its exit code; what went wrong is on the standard error.

    log_directory: where the user wants logs; without one they are in a temporary directory, which is removed unless a
    message names it. compile_into: is given the directory for logs.
    """
    made = not directory.exists()
    progress.start_terminal()
    try:
        with _signals(), _logs(log_directory) as logs:
            return _explained(directory, logs, compile_into)
    except Ended as ended:
        _tell("interrupted: what is finished is kept for the next run")
        return 128 + ended.number
    except OSError as error:  # no place for logs
        _tell(f"error: there is no place for temporary files: {error}.")
        return 1
    finally:
        if made and directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _explained(directory: Path, logs: _Logs, compile_into: Callable[[Path], None]) -> int:
    try:
        log = _start_log(logs.directory)
        compile_into(logs.directory)
    except CompileError as error:
        logger.debug("failed", exc_info=True)
        logs.keep_if_named(str(error))
        _tell(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt as error:
        raise Ended(signal.SIGINT) from error
    except OSError as error:
        logger.debug("failed", exc_info=True)
        _tell(f"error: could not write to {directory}: {error}. {GOES_ON}")
        return 1
    except Exception as error:
        logger.debug("failed", exc_info=True)
        told = _out_of_memory(error) or _not_written(error, directory)
        if told is None:
            logs.keep()
            told = f"unexpected {type(error).__name__}: {_first_line(error)}\nDetails are in {log}."
        _tell(f"error: {told}")
        return 1
    return 0


def _start_log(directory: Path) -> Path:
    try:
        return progress.start_log(directory)
    except OSError as error:
        raise CompileError(f'logs cannot be written to "{directory}": {error.strerror}.') from error


def _out_of_memory(error: Exception) -> str | None:
    if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
        return None
    weights = _weights_in(error)
    size = f"about {(weights * TIMES_WEIGHTS + PYTHON_BYTES) / 1e9:.1f} GB" if weights else "several times its weights' size"
    return f"memory has run out: compiling this model takes {size}. Close other programs, or compile on another host. {GOES_ON}"


def _weights_in(error: BaseException) -> int:
    """Bytes of the model that was being compiled, from the frames that the error went through; 0 where there is none yet."""
    trace = error.__traceback__
    while trace is not None:
        model = getattr(trace.tb_frame.f_locals.get("source"), "model", None)
        if model is not None:
            return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
        trace = trace.tb_next
    return 0


def _not_written(error: Exception, directory: Path) -> str | None:
    if not isinstance(error, RuntimeError) or not NOT_WRITTEN.search(str(error)):
        return None
    free = shutil.disk_usage(directory if directory.exists() else directory.parent).free
    return f"could not write to {directory}, where {free / 1e6:.0f} MB are free: {_first_line(error)} {GOES_ON}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]


def _tell(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:
        pass  # nobody is left to be told


@contextmanager
def _signals() -> Iterator[None]:
    """Has SIGTERM and SIGHUP end the process as an exception does, so that locks and temporary files go."""

    def end(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Ended(number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Logs:
    """The directory for logs, and whether it stays."""

    def __init__(self, directory: Path, temporary: bool) -> None:
        self.directory = directory
        self.temporary = temporary

    def keep(self) -> None:
        self.temporary = False

    def keep_if_named(self, message: str) -> None:
        if str(self.directory) in message:
            self.keep()


@contextmanager
def _logs(given: Path | None) -> Iterator[_Logs]:
    logs = _Logs(given or Path(tempfile.mkdtemp(prefix="neuron-blip-compile-")), given is None)
    try:
        yield logs
    finally:
        progress.end_log()
        if logs.temporary:
            shutil.rmtree(logs.directory, ignore_errors=True)
