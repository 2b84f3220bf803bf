"""Compares what was compiled with transformers' own model.

The comparison is with transformers' modules run on *unpadded* questions and answers, one row at a time, not with the
wrappers on the same padded inputs: it would notice a wrapper that masks wrongly as well as a trace that kept something
of the example it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import BlipForQuestionAnswering, GenerationConfig

from .errors import CompileError
from .examples import Example

Part = Any  # a callable of positional tensors: a wrapper or a loaded TorchScript module


@torch.no_grad()
def largest_difference(
    part: str, compiled: Part, model: BlipForQuestionAnswering, example: Example
) -> tuple[float, float]:
    """The largest absolute difference between a compiled part and the eager model, and the largest eager value.

    Raises CompileError where the compiled part gives another shape, or numbers that are none.
    """
    inputs = example.inputs[part]
    output = compiled(*inputs)
    pairs: list[tuple[Tensor, Tensor]] = []
    if part == "vision_model":
        expected = model.vision_model(inputs[0])
        pairs = [(output[name], expected[name]) for name in ("last_hidden_state", "pooler_output")]
    elif part == "text_encoder":
        ids, _, image_embeds, image_mask = inputs
        for row, real in enumerate(example.question_lengths):
            rows = slice(row, row + 1)
            expected = model.text_encoder(
                input_ids=ids[rows, :real],
                attention_mask=torch.ones(1, real, dtype=torch.int64),
                encoder_hidden_states=image_embeds[rows],
                encoder_attention_mask=image_mask[rows],
            )
            pairs.append((output[rows, :real], expected.last_hidden_state))
    else:
        ids, question_embeds, _, _, _ = inputs
        for row, real in enumerate(example.question_lengths):
            rows = slice(row, row + 1)
            expected = model.text_decoder(
                input_ids=ids[rows, : example.position + 1],
                attention_mask=torch.ones(1, example.position + 1, dtype=torch.int64),
                encoder_hidden_states=question_embeds[rows, :real],
                encoder_attention_mask=torch.ones(1, real, dtype=torch.int64),
            )
            pairs.append((output[rows], expected.logits[:, -1:]))
    for found, wanted in pairs:
        if found.shape != wanted.shape or not torch.isfinite(found).all():
            raise CompileError(
                f"The compiled {part} gives {list(found.shape)} where the eager model gives {list(wanted.shape)}"
                f"{'' if torch.isfinite(found).all() else ', with values that are not numbers'}."
            )
    difference = max((found - wanted).abs().max().item() for found, wanted in pairs)
    scale = max(wanted.abs().max().item() for _, wanted in pairs)
    return difference, scale


@torch.no_grad()
def eager_sequences(model: BlipForQuestionAnswering, example: Example, new_tokens: int) -> Tensor:
    """Greedy answers of transformers' `generate`, each row asked by itself and unpadded.

    int64 [B, 1 + new_tokens], padded.
    """
    text = model.config.text_config
    # All that a checkpoint may set otherwise is set, so that this is plain greedy search.
    greedy = GenerationConfig(
        max_new_tokens=new_tokens,
        min_length=0,
        num_beams=1,
        do_sample=False,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        bos_token_id=model.decoder_start_token_id,
        eos_token_id=text.sep_token_id,
        pad_token_id=text.pad_token_id,
    )
    ids = example.inputs["text_encoder"][0]
    pixels = example.inputs["vision_model"][0]
    sequences = torch.full((len(ids), 1 + new_tokens), text.pad_token_id, dtype=torch.int64)
    for row, real in enumerate(example.question_lengths):
        answer = model.generate(
            input_ids=ids[row : row + 1, :real],
            attention_mask=torch.ones(1, real, dtype=torch.int64),
            pixel_values=pixels[row : row + 1],
            generation_config=greedy,
        )[0]
        sequences[row, : len(answer)] = answer
    return sequences


@torch.no_grad()
def compiled_sequences(
    parts: Mapping[str, Part], model: BlipForQuestionAnswering, example: Example, new_tokens: int
) -> Tensor:
    """Greedy answers through the compiled parts, as the package runs them. int64 [B, 1 + new_tokens], padded."""
    text = model.config.text_config
    ids, mask, _, image_mask = example.inputs["text_encoder"]
    rows = len(ids)
    image_embeds = parts["vision_model"](*example.inputs["vision_model"])["last_hidden_state"]
    question_embeds = parts["text_encoder"](ids, mask, image_embeds, image_mask)
    sequences = torch.full((rows, 1 + new_tokens), text.pad_token_id, dtype=torch.int64)
    sequences[:, 0] = model.decoder_start_token_id
    running = torch.ones(rows, dtype=torch.bool)
    for position in range(new_tokens):
        answer_mask = (torch.arange(new_tokens) <= position).to(torch.int64).repeat(rows, 1)
        logits = parts["text_decoder"](
            sequences[:, :new_tokens].contiguous(), question_embeds, mask, answer_mask, torch.tensor([position])
        )
        tokens = logits[:, 0].argmax(dim=-1)
        sequences[:, position + 1] = torch.where(running, tokens, torch.full_like(tokens, text.pad_token_id))
        running &= tokens != text.sep_token_id
        if not running.any():
            break
    return sequences


def count_equal(found: Tensor, wanted: Tensor) -> int:
    """How many rows of two batches of token ids are equal."""
    return int((found == wanted).all(dim=1).sum())
