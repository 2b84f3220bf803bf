"""Inputs to trace and to check with: made from a seed, and fed with what the eager parts before make of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BlipForQuestionAnswering

from .settings import Settings

CLS_TOKEN_ID = 101


@dataclass(frozen=True)
class Example:
    """One batch: questions padded on the right, and a decoder that stands at `position`.

    inputs: by part, in the order of its wrapper's `inputs`. question_lengths: real tokens of each row.
    """

    inputs: dict[str, tuple[Tensor, ...]]
    question_lengths: tuple[int, ...]
    position: int


@torch.no_grad()
def make_example(
    model: BlipForQuestionAnswering, parts: dict[str, nn.Module], settings: Settings, image_size: int, seed: int
) -> Example:
    """Makes one. Pictures, questions, their lengths and the decoder's position all follow from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    text = model.config.text_config
    rows, length, answer = settings.batch_size, settings.question_length, settings.answer_length

    def random_tokens(*shape: int) -> Tensor:
        tokens = torch.randint(1, text.vocab_size, shape, generator=generator)
        # Pad and separator are left out: they mean something.
        return torch.where(
            (tokens == text.pad_token_id) | (tokens == text.sep_token_id), torch.ones_like(tokens), tokens
        )

    pixels = make_pixels(rows, image_size, generator)
    lengths = tuple(3 + (5 * seed + 3 * row + 2) % (length - 2) for row in range(rows))
    ids = random_tokens(rows, length)
    ids[:, 0] = min(CLS_TOKEN_ID, text.vocab_size - 1)
    mask = torch.zeros(rows, length, dtype=torch.int64)
    for row, real in enumerate(lengths):
        ids[row, real - 1] = text.sep_token_id
        ids[row, real:] = text.pad_token_id
        mask[row, :real] = 1

    # The first at the start of the answer, the next at its end, the others in between.
    position = (0, answer - 1)[seed] if seed < 2 else (7 * seed) % answer
    answer_ids = random_tokens(rows, answer)
    answer_ids[:, 0] = model.decoder_start_token_id
    answer_ids[:, position + 1 :] = text.pad_token_id
    answer_mask = (torch.arange(answer) <= position).to(torch.int64).repeat(rows, 1)

    image_embeds = parts["vision_model"](pixels)["last_hidden_state"]
    encoder = (ids, mask, image_embeds, torch.ones(image_embeds.shape[:2], dtype=torch.int64))
    question_embeds = parts["text_encoder"](*encoder)
    decoder = (answer_ids, question_embeds, mask, answer_mask, torch.tensor([position]))
    inputs = {"vision_model": (pixels,), "text_encoder": encoder, "text_decoder": decoder}
    return Example(inputs, lengths, position)


def make_pixels(rows: int, image_size: int, generator: torch.Generator) -> Tensor:
    """Pictures as the processor makes them: blotches of colour with some grain, about zero. float32 [rows, 3, H, W]"""
    coarse = torch.randn(rows, 3, 6, 6, generator=generator)
    blotches = nn.functional.interpolate(coarse, size=(image_size, image_size), mode="bilinear", align_corners=False)
    return blotches + 0.1 * torch.randn(rows, 3, image_size, image_size, generator=generator)
