"""Which kinds of BLIP can be compiled."""

from __future__ import annotations

from collections.abc import Sequence

from .captioning import Captioning
from .errors import CompileError
from .head import Head
from .question_answering import QuestionAnswering
from .retrieval import Retrieval

HEADS: dict[str, Head] = {head.architecture: head for head in (QuestionAnswering(), Captioning(), Retrieval())}


def head_of(model: str, architectures: Sequence[str]) -> Head:
    """The head that config.json's `architectures` names; `model` is for the message.

    Raises CompileError where it names none of them: the same weights file can hold any, so guessing would not do.
    """
    for name in architectures:
        if name in HEADS:
            return HEADS[name]
    says = f"is a {' / '.join(architectures)}" if architectures else 'has no "architectures" in its config.json'
    supported = "; ".join(f"{head.architecture} ({head.task}, such as {head.example_model})" for head in HEADS.values())
    raise CompileError(f'"{model}" {says}. What can be compiled: {supported}.')
