"""A part that writes the first tokens of an answer by itself, for devices where each call costs: `--greedy-tokens`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .wrappers import small_mask


class GreedyDecoder(nn.Module):
    """The first k tokens of greedy search, in one call.

    input_ids int64 [B, 1] (the start token), question_embeds float32 [B, Lq, Dt], question_attention_mask int64 [B, Lq]
    -> {tokens int64 [B, k], log_probabilities float32 [B, k]}

    Each token is the most likely one after those before it, the lowest id among equals; after [SEP] they are padding, of
    log-probability 0. The steps are unrolled, so that all shapes are static and nothing depends on the data: rows that have
    ended go on, and are not looked at. Each step reads one token; keys and values of those before are kept in the graph, and
    the question's are computed once. The arithmetic is transformers' BlipTextLMHeadModel, its sums in another order.
    """

    inputs = ("input_ids", "question_embeds", "question_attention_mask")
    outputs = ("tokens", "log_probabilities")
    lengths = ("question_length", "greedy_tokens")

    def __init__(self, text_decoder: Any, tokens: int) -> None:
        super().__init__()
        self.text_decoder = text_decoder
        self.tokens = tokens

    def forward(self, input_ids: Tensor, question_embeds: Tensor, question_attention_mask: Tensor) -> dict[str, Tensor]:
        decoder, config = self.text_decoder, self.text_decoder.config
        layers = decoder.bert.encoder.layer
        ignored = small_mask(question_attention_mask, question_embeds.dtype)[:, None, None, :]
        question = [_keys_values(layer.crossattention.self, question_embeds) for layer in layers]
        before: list[tuple[Tensor, Tensor] | None] = [None] * len(layers)
        running = torch.ones_like(input_ids, dtype=torch.bool)
        token, tokens, log_probabilities = input_ids, [], []
        for step in range(self.tokens):
            hidden = _embed(decoder.bert.embeddings, token, step)
            for index, layer in enumerate(layers):
                keys, values = _keys_values(layer.attention.self, hidden)
                past = before[index]
                if past is not None:
                    keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
                before[index] = keys, values
                hidden = _attend(layer.attention, hidden, keys, values)
                hidden = _attend(layer.crossattention, hidden, *question[index], ignored)
                hidden = layer.output(layer.intermediate(hidden), hidden)
            token, log_probability = _most_likely(decoder.cls(hidden)[:, 0])
            tokens.append(torch.where(running, token, torch.full_like(token, config.pad_token_id)))
            log_probabilities.append(torch.where(running, log_probability, torch.zeros_like(log_probability)))
            running = running & (token != config.sep_token_id)
        return {"tokens": torch.cat(tokens, dim=1), "log_probabilities": torch.cat(log_probabilities, dim=1)}


def _embed(embeddings: Any, token: Tensor, position: int) -> Tensor:
    """One token of each row, at one position: int64 [B, 1] -> float32 [B, 1, Dt]."""
    return embeddings.LayerNorm(
        embeddings.word_embeddings(token) + embeddings.position_embeddings.weight[position : position + 1]
    )


def _split_heads(hidden: Tensor, heads: int) -> Tensor:
    """[B, T, H * Dh] -> [B, H, T, Dh]."""
    rows, length, width = hidden.shape
    return hidden.view(rows, length, heads, width // heads).transpose(1, 2)


def _keys_values(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """[B, T, D] -> [B, H, T, Dh] each."""
    heads = attention.num_attention_heads
    return _split_heads(attention.key(hidden), heads), _split_heads(attention.value(hidden), heads)


def _attend(block: Any, hidden: Tensor, keys: Tensor, values: Tensor, ignored: Tensor | None = None) -> Tensor:
    """One attention with what follows it, of one token: [B, 1, Dt]. `ignored` is added to the scores."""
    query = _split_heads(block.self.query(hidden), block.self.num_attention_heads)
    scores = query @ keys.transpose(2, 3) * block.self.attention_head_size**-0.5
    if ignored is not None:
        scores = scores + ignored
    context = (scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)
    return block.output(context, hidden)


def _most_likely(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The most likely token of each row and its log-probability: float32 [B, V] -> int64 and float32 [B, 1]."""
    highest = logits.amax(dim=-1, keepdim=True)
    # Not argmax: which of equals it takes is nobody's promise, and a reduction of pairs is what compilers of static graphs
    # do worst. Where no logit is a number the last token stands in, and the log-probability tells.
    ids = torch.arange(logits.shape[1], device=logits.device)
    token = torch.where(logits == highest, ids, logits.shape[1] - 1).amin(dim=-1, keepdim=True)
    return token, -(logits - highest).exp().sum(dim=-1, keepdim=True).log()
