"""Says how far the parts for the CPU in other number types agree with those in float32, on question answering.

    python scripts/make_fixtures.py MODELS --shapes small
    python scripts/evaluate_dtype.py MODELS/small --pairs 200
    python scripts/demo/to_transformers.py demo/model CHECKPOINT
    python scripts/demo/scenes.py SCENES --count 300 --seed 7
    python scripts/evaluate_dtype.py CHECKPOINT --scenes SCENES --out figures.json

MODEL is a directory as `save_pretrained` writes it. It is asked about random pictures, in random tokens, or with --scenes
the questions of a directory that demo/scenes.py wrote. For each number type, counted against float32:

- answers: greedy answers that are equal, token for token;
- tokens: where the decoder reads float32's answer, whatever it would have written itself, how many of the tokens that
  come next are the same: an answer that goes astray counts once;
- the lead that a lost token had: by how much, in logits, float32 preferred it to the token taken instead, at most;
- the largest change of the probability of one of float32's tokens;
- with --scenes, the answers that are right.

The modules are those that `neuron-blip compile --dtype` traces, and run here as they do on this CPU, of which the report says whether it has bfloat16.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from neuron_blip_compile.cpu_linear import DTYPES, converted, has_bfloat16, prepared
from neuron_blip_compile.cpu_parts import parts_of
from neuron_blip_compile.examples import make_pixels, make_texts
from neuron_blip_compile.source import Source, image_processor, load_source
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer

QUESTIONS_PER_PICTURE = 4
QUESTION_LENGTH = 12


@dataclass(frozen=True)
class Asked:
    """Questions about one picture.

    pixels: float32 [1, 3, H, W]. ids, mask: int64 [N, Lq]. answers: the right ones; None where there are none.
    """

    pixels: Tensor
    ids: Tensor
    mask: Tensor
    answers: list[str] | None = None


@dataclass
class Agreement:
    """What one number type did, against float32."""

    dtype: str
    answers: int = 0
    answers_equal: int = 0
    tokens: int = 0
    tokens_equal: int = 0
    largest_lead_lost: float = 0.0
    largest_probability_change: float = 0.0
    right: int | None = None


def random_questions(source: Source, pairs: int, seed: int) -> Iterator[Asked]:
    """Blotches of colour, and questions of different lengths about each."""
    generator = torch.Generator().manual_seed(seed)
    text = source.model.config.text_config
    for picture in range(-(-pairs // QUESTIONS_PER_PICTURE)):
        rows = min(QUESTIONS_PER_PICTURE, pairs - picture * QUESTIONS_PER_PICTURE)
        pixels = make_pixels(1, source.image_size, generator)
        ids, mask, _ = make_texts(text, rows, QUESTION_LENGTH, picture, generator)
        yield Asked(pixels, ids, mask)


def scene_questions(scenes: Path, model: str) -> Iterator[Asked]:
    """The questions of a directory of scenes, all of a picture together."""
    tokenizer, processor = AutoTokenizer.from_pretrained(model), image_processor(model)
    by_picture: dict[str, list[dict[str, Any]]] = {}
    for record in json.loads((scenes / "questions.json").read_text()):
        by_picture.setdefault(record["picture"], []).append(record)
    for name, records in by_picture.items():
        texts = tokenizer([record["question"] for record in records], padding=True, return_tensors="pt")
        pixels = processor(Image.open(scenes / name), return_tensors="pt")["pixel_values"]
        yield Asked(pixels, texts["input_ids"], texts["attention_mask"], [record["answer"] for record in records])


class Model:
    """A model's parts for the CPU in one number type."""

    def __init__(self, source: Source, dtype: str) -> None:
        modules = {part.name: prepared(converted(part.make_module(), part.dtype)) for part in parts_of(source, dtype)}
        self._vision = modules["vision_model_fused"]
        self._encoder: Any = modules["text_encoder_cached"]
        self._decoder: Any = modules["text_decoder_cached"]
        self._text = source.model.config.text_config

    def look(self, asked: Asked) -> Tensor:
        """Keys and values of the questions: dtype [L, 2, N, H, Lq, Dh]."""
        kept = self._encoder.image_keys_values(self._vision(asked.pixels)["last_hidden_state"])
        return self._decoder.encoder_keys_values(self._encoder.forward_cached(asked.ids, asked.mask, kept))

    def answer(
        self, seen: Tensor, mask: Tensor, new_tokens: int, forced: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Greedy answers int64 [N, 1 + T], padded, and the logits of each step, float32 [N, T, V]: T <= new_tokens.

        forced: answers to read in place of its own.
        """
        layers, _, rows, heads, _, width = seen.shape
        every = torch.arange(rows)
        parents, past = torch.zeros_like(every), seen.new_zeros(layers, 2, 1, heads, 0, width)
        sequence = torch.full((rows, 1), self._text.bos_token_id)
        running = torch.ones(rows, dtype=torch.bool)
        steps: list[Tensor] = []
        while running.any() and len(steps) < new_tokens:
            logits, past = self._decoder(sequence[:, -1:], past, parents, seen, every, mask)
            steps.append(logits)
            parents, told = every, logits.argmax(dim=-1) if forced is None else forced[:, len(steps)]
            told = torch.where(running, told, torch.full_like(told, self._text.pad_token_id))
            running &= told != self._text.sep_token_id
            sequence = torch.cat([sequence, told[:, None]], dim=1)
        return sequence, torch.stack(steps, dim=1)


def compare(found: Agreement, wanted: tuple[Tensor, Tensor], own: Tensor, forced: Tensor, text: Any) -> None:
    """Adds what one picture's questions show.

    wanted: float32's answers and logits. own: the answers of the other type; forced: its logits after float32's.
    """
    sequences, logits = wanted
    length = max(own.shape[1], sequences.shape[1])
    pad = text.pad_token_id
    ours, theirs = (torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=pad) for ids in (own, sequences))
    found.answers += len(sequences)
    found.answers_equal += int((ours == theirs).all(dim=1).sum())
    next_tokens = sequences[:, 1:]
    # The first token is followed by one; after that, those up to the end are.
    ended = (next_tokens == text.sep_token_id).cumsum(dim=1)
    counted = (ended == 0) | ((ended == 1) & (next_tokens == text.sep_token_id))
    taken = forced.argmax(dim=-1)
    equal = taken == next_tokens
    found.tokens += int(counted.sum())
    found.tokens_equal += int((equal & counted).sum())
    lead = (logits.amax(dim=-1) - logits.gather(2, taken[..., None])[..., 0])[counted]
    found.largest_lead_lost = max(found.largest_lead_lost, lead.max().item())
    changes = (forced.softmax(dim=-1) - logits.softmax(dim=-1)).gather(2, next_tokens[..., None])[..., 0].abs()
    found.largest_probability_change = max(found.largest_probability_change, changes[counted].max().item())


@torch.no_grad()
def evaluate(model: str, dtypes: list[str], scenes: Path | None, pairs: int, new_tokens: int) -> list[Agreement]:
    """Agreement of each number type with float32, which comes first."""
    source = load_source(model)
    text = source.model.config.text_config
    tokenizer = AutoTokenizer.from_pretrained(model) if scenes else None
    exact, others = Model(source, "fp32"), {dtype: Model(source, dtype) for dtype in dtypes}
    found = {dtype: Agreement(dtype, right=0 if scenes else None) for dtype in ("fp32", *dtypes)}

    def count(dtype: str, asked: Asked, sequences: Tensor) -> None:
        if tokenizer and asked.answers:
            given = tokenizer.batch_decode(sequences, skip_special_tokens=True)
            right = sum(ours == theirs for ours, theirs in zip(given, asked.answers, strict=True))
            found[dtype].right = (found[dtype].right or 0) + right

    for asked in scene_questions(scenes, model) if scenes else random_questions(source, pairs, seed=1):
        wanted = exact.answer(exact.look(asked), asked.mask, new_tokens)
        compare(found["fp32"], wanted, *wanted, text)
        count("fp32", asked, wanted[0])
        for dtype, other in others.items():
            seen = other.look(asked)
            own, _ = other.answer(seen, asked.mask, new_tokens)
            _, forced = other.answer(seen, asked.mask, new_tokens, wanted[0])
            compare(found[dtype], wanted, own, forced, text)
            count(dtype, asked, own)
    return list(found.values())


def share(part: int, whole: int) -> str:
    """Counts, and percent."""
    return f"{part} of {whole} ({100 * part / max(1, whole):.2f} %)"


def main() -> int:
    """Prints the figures and, with --out, writes them. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Agreement of bf16 and int8 parts for the CPU with float32.")
    parser.add_argument("model", metavar="MODEL", help="question answering, as save_pretrained writes it")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES[1:], default=list(DTYPES[1:]), help="default: all")
    parser.add_argument("--scenes", type=Path, metavar="DIR", help="made by demo/scenes.py; else random questions")
    parser.add_argument("--pairs", type=int, default=200, help="random questions (default %(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=10, help="longest answer (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="default %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = evaluate(options.model, options.dtypes, options.scenes, options.pairs, options.max_new_tokens)
    about = {
        "model": Path(options.model).name,
        "questions": "scenes" if options.scenes else "random",
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "has_bfloat16": has_bfloat16(),
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for one in found:
        right = "" if one.right is None else f", right {share(one.right, one.answers)}"
        print(
            f"{one.dtype}: answers {share(one.answers_equal, one.answers)}, tokens {share(one.tokens_equal, one.tokens)}, "
            f"largest lead lost {one.largest_lead_lost:.3g}, largest change of a probability "
            f"{one.largest_probability_change:.3g}{right}",
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps({**about, "figures": [asdict(one) for one in found]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
