"""What a compilation tells while it runs: lines on the terminal, and everything, the libraries' words too, in a log."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import transformers

LOG_FILE = "trace.log"
TICK_SECONDS = 15.0

logger = logging.getLogger("neuron_blip_compile")


class ProgressFormatter(logging.Formatter):
    """Lines as they are; warnings marked."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return f"warning: {text}" if record.levelno == logging.WARNING else text


def start_terminal() -> None:
    """Shows this package's lines on standard error, and nothing of what the libraries say there."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(ProgressFormatter())
    terminal.setLevel(logging.INFO)
    logger.addHandler(terminal)
    logger.setLevel(logging.DEBUG)
    transformers.logging.disable_progress_bar()
    transformers.logging.disable_default_handler()
    transformers.logging.enable_propagation()
    logging.captureWarnings(True)
    # Without a handler of its own, a warning would reach the terminal by logging's last resort.
    logging.getLogger().addHandler(logging.NullHandler())


def start_log(directory: Path) -> Path:
    """Adds a log file to `directory`, which takes all that is said at any level. Returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOG_FILE
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    return path


def end_log() -> None:
    """Closes the log file, which can then be removed."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says that a step has begun, and every 15 s that it still runs."""
    logger.info("%s …", what)
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK_SECONDS):
            logger.info("  still %s%s (%.0f s)", what[0].lower(), what[1:], time.monotonic() - began)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    logger.debug("%s took %.1f s", what, time.monotonic() - began)
