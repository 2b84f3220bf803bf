"""What each competitor in Python speaks with the benchmark: JSON, a line for each task and each outcome, as serve.mjs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch


def serve(tasks: object, versions: dict[str, str], begin: float) -> None:
    """Says that all is loaded, then does task after task: {"do": NAME, ...} calls that method. begin: when loading began."""
    print(json.dumps({"ms": milliseconds(begin), "versions": versions}), flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            task = json.loads(line)
            name = task.pop("do")
            outcome: Any
            try:
                outcome = {"rss": memory()} if name == "memory" else getattr(tasks, name)(**task)
            except Exception as error:
                outcome = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(outcome), flush=True)


def milliseconds(begin: float) -> float:
    """Since `begin`."""
    return (time.perf_counter() - begin) * 1000


def memory() -> int:
    """This process's RSS in bytes."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0
