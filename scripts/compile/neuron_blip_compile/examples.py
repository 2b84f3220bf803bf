"""Inputs to trace and to check with: made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

CLS_TOKEN_ID = 101


@dataclass(frozen=True)
class Example:
    """One batch: texts padded on the right, and a decoder that stands at `position`.

    inputs: by part, in the order of its wrapper's `inputs`. text_lengths: real tokens of each row of the question or
    text; none for a head without. prompt: what captions begin with, as the processor makes it, int64 [B, n] with [CLS]
    and [SEP]; None for no prompt.
    """

    inputs: dict[str, tuple[Tensor, ...]]
    text_lengths: tuple[int, ...] = ()
    position: int = 0
    prompt: Tensor | None = None


def random_tokens(text: Any, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Token ids of a text configuration's vocabulary, int64."""
    tokens = torch.randint(1, text.vocab_size, shape, generator=generator)
    # Pad and separator are left out: they mean something.
    return torch.where((tokens == text.pad_token_id) | (tokens == text.sep_token_id), torch.ones_like(tokens), tokens)


def make_texts(
    text: Any, rows: int, length: int, seed: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Texts as the tokenizer makes them, of different lengths: ids and mask, int64 [rows, length], and the lengths."""
    lengths = tuple(3 + (5 * seed + 3 * row + 2) % (length - 2) for row in range(rows))
    ids = random_tokens(text, (rows, length), generator)
    ids[:, 0] = min(CLS_TOKEN_ID, text.vocab_size - 1)
    mask = torch.zeros(rows, length, dtype=torch.int64)
    for row, real in enumerate(lengths):
        ids[row, real - 1] = text.sep_token_id
        ids[row, real:] = text.pad_token_id
        mask[row, :real] = 1
    return ids, mask, lengths


def make_decoder_inputs(
    text: Any, rows: int, length: int, seed: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, int]:
    """A decoder's tokens so far: ids and mask, int64 [rows, length], and the last one's position, the same for all."""
    # The first at the start of the answer, the next at its end, the others in between.
    position = (0, length - 1)[seed] if seed < 2 else (7 * seed) % length
    ids = random_tokens(text, (rows, length), generator)
    ids[:, 0] = text.bos_token_id
    ids[:, position + 1 :] = text.pad_token_id
    mask = (torch.arange(length) <= position).to(torch.int64).repeat(rows, 1)
    return ids, mask, position


def make_pixels(rows: int, image_size: int, generator: torch.Generator) -> Tensor:
    """Pictures as the processor makes them: blotches of colour with some grain, about zero. float32 [rows, 3, H, W]"""
    coarse = torch.randn(rows, 3, 6, 6, generator=generator)
    blotches = nn.functional.interpolate(coarse, size=(image_size, image_size), mode="bilinear", align_corners=False)
    return blotches + 0.1 * torch.randn(rows, 3, image_size, image_size, generator=generator)


def image_mask_of(image_embeds: Tensor) -> Tensor:
    """The mask of whole pictures: float32 [B, S, D] -> int64 ones [B, S]."""
    return torch.ones(image_embeds.shape[:2], dtype=torch.int64)
