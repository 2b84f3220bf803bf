"""The peers in Python, each in a process of its own that does one thing at a time, when it is told to.

    python scripts/bench/peers.py KIND THREADS JSON

KIND is tutorial (the tutorial's pipeline: the three TorchScript parts and a padded greedy loop), transformers, bf16
(the same in bfloat16 autocast), onnx (ONNX Runtime with the same three parts) or onnxInt8 (with those in int8). JSON
has the directories, as scripts/bench/prepare.mjs makes them. Each line of the standard input is a task, {"do": NAME,
...}; each line of the output its outcome, {"ms": MILLISECONDS, ...} or {"error": WHY}. The first line says that all is
loaded.
"""

from __future__ import annotations

import json
import platform
import sys
import time

BEGIN = time.perf_counter()  # before the slow imports: they are part of what loading takes

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import PIL
import torch
import transformers
from PIL import Image
from serve import milliseconds, serve
from torch import Tensor
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

BEFORE_MS = 50  # see serve.mjs

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Peer:
    """What the peers have in common: the processor and the questions."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.processor = BlipImageProcessorPil.from_pretrained(files["source"])
        self.tokenizer = AutoTokenizer.from_pretrained(files["source"])
        self.start, self.end = 30522, 102
        self.question_length, self.answer_length = 8, 20

    def preprocess(self, picture: str) -> Tensor:
        """A file -> float32 [1, 3, H, W]."""
        with Image.open(picture) as image:
            return self.processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]

    def tokenize(self, question: str) -> tuple[Tensor, Tensor]:
        """-> ids and mask, int64 [1, 8]."""
        settings = {"padding": "max_length", "truncation": True, "max_length": self.question_length}
        found = self.tokenizer(question, return_tensors="pt", **settings)
        return found["input_ids"], found["attention_mask"]

    def answer(self, picture: str, question: str, tokens: int) -> list[int]:
        """A whole answer of so many tokens, from a file."""
        raise NotImplementedError

    def stages(self, picture: str, question: str) -> dict[str, Callable[[], object]]:
        """Functions that do one stage each, with inputs that are at hand."""
        raise NotImplementedError

    def vision(self, pixels: Tensor) -> Any:
        """float32 [B, 3, H, W] -> the vision part's output."""
        raise NotImplementedError


class Parts(Peer):
    """The tutorial's pipeline over its three parts, whatever runs them."""

    def text_encoder(self, ids: Tensor, mask: Tensor, embeds: Any) -> Any:
        """-> question embeds."""
        raise NotImplementedError

    def text_decoder(self, ids: Tensor, question: Any, mask: Tensor, own_mask: Tensor, position: Tensor) -> Tensor:
        """-> logits float32 [1, 1, V]."""
        raise NotImplementedError

    def first_step(self, question: Any, mask: Tensor) -> tuple[Any, ...]:
        """The decoder's inputs for the first token."""
        ids = torch.zeros(1, self.answer_length, dtype=torch.int64)
        ids[0, 0] = self.start
        own_mask = torch.zeros_like(ids)
        own_mask[0, 0] = 1
        return ids, question, mask, own_mask, torch.tensor([0])

    def answer(self, picture: str, question: str, tokens: int) -> list[int]:
        ids, mask = self.tokenize(question)
        encoded = self.text_encoder(ids, mask, self.vision(self.preprocess(picture)))
        answer, _, _, own_mask, position = self.first_step(encoded, mask)
        for step in range(tokens):
            position[0] = step
            logits = self.text_decoder(answer, encoded, mask, own_mask, position)[0, 0]
            logits[self.end] = -torch.inf  # no end before the last token
            answer[0, step + 1] = logits.argmax()
            own_mask[0, step + 1] = 1
        return answer[0, : tokens + 1].tolist()

    def stages(self, picture: str, question: str) -> dict[str, Callable[[], object]]:
        pixels = self.preprocess(picture)
        ids, mask = self.tokenize(question)
        embeds = self.vision(pixels)
        step = self.first_step(self.text_encoder(ids, mask, embeds), mask)
        return {
            "vision": lambda: self.vision(pixels),
            "text encoder": lambda: self.text_encoder(ids, mask, embeds),
            "decoder step": lambda: self.text_decoder(*step),
        }


class Tutorial(Parts):
    """TorchScript parts by torch.jit.load."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(files)
        directory = Path(files["tutorial"])
        names = ("vision_model", "text_encoder", "text_decoder")
        self.modules = {name: torch.jit.load(directory / f"{name}.pt").eval() for name in names}
        self.start = json.loads((directory / "config.json").read_text())["text_config"]["bos_token_id"]

    def vision(self, pixels: Tensor) -> Tensor:
        return self.modules["vision_model"](pixels)["last_hidden_state"]

    def text_encoder(self, ids: Tensor, mask: Tensor, embeds: Tensor) -> Tensor:
        return self.modules["text_encoder"](ids, mask, embeds, torch.ones(embeds.shape[:2], dtype=torch.int64))

    def text_decoder(self, *inputs: Tensor) -> Tensor:
        return self.modules["text_decoder"](*inputs)


class Onnx(Parts):
    """The same parts by ONNX Runtime, of the directory that `files` has under `key`."""

    def __init__(self, files: dict[str, str], key: str) -> None:
        super().__init__(files)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.sessions = {
            name: onnxruntime.InferenceSession(
                Path(files[key]) / f"{name}.onnx", options, providers=["CPUExecutionProvider"]
            )
            for name in ("vision_model", "text_encoder", "text_decoder")
        }
        self.start = json.loads((Path(files["source"]) / "config.json").read_text())["text_config"]["bos_token_id"]

    def run(self, name: str, *inputs: Any) -> numpy.ndarray:
        """One part on torch tensors or arrays."""
        session = self.sessions[name]
        arrays = [value.numpy() if isinstance(value, Tensor) else value for value in inputs]
        feeds = {spec.name: array for spec, array in zip(session.get_inputs(), arrays, strict=True)}
        return session.run(None, feeds)[0]

    def vision(self, pixels: Tensor) -> numpy.ndarray:
        return self.run("vision_model", pixels)

    def text_encoder(self, ids: Tensor, mask: Tensor, embeds: numpy.ndarray) -> numpy.ndarray:
        return self.run("text_encoder", ids, mask, embeds, numpy.ones(embeds.shape[:2], dtype=numpy.int64))

    def text_decoder(self, *inputs: Any) -> Tensor:
        return torch.from_numpy(self.run("text_decoder", *inputs))


class Transformers(Peer):
    """`generate` of transformers' model."""

    def __init__(self, files: dict[str, str], autocast: bool = False) -> None:
        super().__init__(files)
        self.model = BlipForQuestionAnswering.from_pretrained(files["source"]).eval()
        self.autocast = autocast

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """bfloat16 autocast where that is what is measured."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            yield

    def answer(self, picture: str, question: str, tokens: int) -> list[int]:
        ids, mask = self.tokenize(question)
        with self.precision():
            found = self.model.generate(
                pixel_values=self.preprocess(picture),
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
            )
        return found[0].tolist()

    def vision(self, pixels: Tensor) -> Tensor:
        with self.precision():
            return self.model.vision_model(pixels).last_hidden_state

    def stages(self, picture: str, question: str) -> dict[str, Callable[[], object]]:
        pixels = self.preprocess(picture)
        ids, mask = self.tokenize(question)
        embeds = self.vision(pixels)

        def text_encoder() -> Tensor:
            with self.precision():
                return self.model.text_encoder(
                    input_ids=ids, attention_mask=mask, encoder_hidden_states=embeds
                ).last_hidden_state

        encoded = text_encoder()
        first = torch.tensor([[self.model.decoder_start_token_id]])

        def decode(token: Tensor, past: Any) -> Any:
            with self.precision():
                return self.model.text_decoder(
                    input_ids=token,
                    attention_mask=torch.ones(1, 1 if past is None else 2, dtype=torch.int64),
                    encoder_hidden_states=encoded,
                    encoder_attention_mask=mask,
                    past_key_values=past,
                    use_cache=True,
                )

        def decoder_step() -> float:
            past = decode(first, None).past_key_values  # a step changes the cache in place: each needs its own
            begin = time.perf_counter()
            decode(first, past)
            return (time.perf_counter() - begin) * 1000

        return {
            "vision": lambda: self.vision(pixels),
            "text encoder": text_encoder,
            "decoder step": decoder_step,
        }


KINDS: dict[str, Callable[[dict[str, str]], Peer]] = {
    "tutorial": Tutorial,
    "onnx": lambda files: Onnx(files, "onnx"),
    "onnxInt8": lambda files: Onnx(files, "onnxInt8"),
    "transformers": Transformers,
    "bf16": lambda files: Transformers(files, autocast=True),
}


class Tasks:
    """What can be asked of a peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.staged: dict[str, Callable[[], object]] = {}

    def whole(self, pictures: list[str], questions: list[str], tokens: int) -> dict[str, Any]:
        """Answers one after another: each picture with its question."""
        begin = time.perf_counter()
        found = [self.peer.answer(picture, text, tokens) for picture, text in zip(pictures, questions, strict=True)]
        return {"ms": milliseconds(begin), "tokens": found}

    def stage(self, name: str, picture: str, question: str) -> dict[str, float]:
        """One stage alone."""
        if not self.staged:
            self.staged = self.peer.stages(picture, question)
        # As in an answer, where it follows others.
        begin = time.perf_counter()
        while milliseconds(begin) < BEFORE_MS:
            self.staged[name]()
        begin = time.perf_counter()
        told = self.staged[name]()
        return {"ms": told if isinstance(told, float) else milliseconds(begin)}

    def vision_batch(self, size: int, picture: str) -> dict[str, float]:
        """The vision part with several pictures at once."""
        pixels = self.peer.preprocess(picture).repeat(size, 1, 1, 1)
        begin = time.perf_counter()
        self.peer.vision(pixels)
        return {"ms": milliseconds(begin)}

    def preprocess(self, picture: str) -> dict[str, float]:
        """A file to pixel values."""
        begin = time.perf_counter()
        self.peer.preprocess(picture)
        return {"ms": milliseconds(begin)}


def main() -> None:
    """Loads, then does task after task."""
    kind, threads, files = sys.argv[1:]
    torch.set_num_threads(int(threads))
    tasks = Tasks(KINDS[kind](json.loads(files)))
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "pillow": PIL.__version__,
    }
    if kind.startswith("onnx"):
        versions["onnxruntime"] = sys.modules["onnxruntime"].__version__
    serve(tasks, versions, BEGIN)


if __name__ == "__main__":
    main()
