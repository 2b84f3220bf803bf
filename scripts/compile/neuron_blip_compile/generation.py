"""Greedy search, by transformers' settings and through a compiled decoder, for the heads that make text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig


def generation_config(model: nn.Module) -> GenerationConfig:
    """The configuration that transformers' BLIP really generates with: its text decoder's, ending at [SEP].

    `generate` of BLIP's heads hands over to the text decoder with [SEP] as the end; the checkpoint's own
    generation_config.json is not consulted.
    """
    config = GenerationConfig.from_dict(model.text_decoder.generation_config.to_dict())
    config.bos_token_id = model.config.text_config.bos_token_id
    config.decoder_start_token_id = None
    config.eos_token_id = model.config.text_config.sep_token_id
    config.pad_token_id = model.config.text_config.pad_token_id
    return config


def greedy_config(text: Any, new_tokens: int) -> GenerationConfig:
    """Plain greedy search of so many new tokens, by a text configuration: all that a checkpoint may set is set."""
    return GenerationConfig(
        max_new_tokens=new_tokens,
        min_length=0,
        num_beams=1,
        do_sample=False,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.sep_token_id,
        pad_token_id=text.pad_token_id,
    )


def greedy_search(decode: Callable[[Tensor, Tensor, Tensor], Tensor], prompt: Tensor, length: int, text: Any) -> Tensor:
    """Greedy search as the package runs it: `prompt` int64 [B, n], continued to int64 [B, length + 1], padded.

    decode: ids and mask, int64 [B, length], and the position, int64 [1] -> logits float32 [B, 1, V].
    """
    rows, begun = prompt.shape
    sequences = torch.full((rows, 1 + length), text.pad_token_id, dtype=torch.int64)
    sequences[:, :begun] = prompt
    running = torch.ones(rows, dtype=torch.bool)
    for position in range(begun - 1, length):
        mask = (torch.arange(length) <= position).to(torch.int64).repeat(rows, 1)
        logits = decode(sequences[:, :length].contiguous(), mask, torch.tensor([position]))
        tokens = logits[:, 0].argmax(dim=-1)
        sequences[:, position + 1] = torch.where(running, tokens, torch.full_like(tokens, text.pad_token_id))
        running &= tokens != text.sep_token_id
        if not running.any():
            break
    return sequences
