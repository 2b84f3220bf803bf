"""Modules for the CPU: the arithmetic of the tutorial's parts in fewer operations.

They take any number of rows and any length, attend by `scaled_dot_product_attention` where that pays, and keep what does not change
from call to call: a picture's cross-attention keys and values, a question's, and those of the tokens before.

B is the rows of pictures, N of texts, S the tokens of a picture, Lq and T those of texts, D the vision width, Dt the
text width, H the heads, Dh a head's width, L the text layers, V the vocabulary. "dtype" is the type of weights and of
keys and values: that which the module has when it runs, since a CPU that has no bfloat16 runs such a module in float32
(cpu_linear.py). Inputs and outputs other than keys and values are float32 and int64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def split_heads(hidden: Tensor, heads: int) -> Tensor:
    """[N, T, H * Dh] -> [N, H, T, Dh]."""
    rows, length, width = hidden.shape
    return hidden.view(rows, length, heads, width // heads).transpose(1, 2)


def merge_heads(hidden: Tensor) -> Tensor:
    """[N, H, T, Dh] -> [N, T, H * Dh]."""
    return hidden.transpose(1, 2).flatten(2)


def stack_pairs(tensors: list[Tensor]) -> Tensor:
    """Keys and values of L layers in turn, [...] each -> [L, 2, ...], copied once."""
    return torch.stack(tensors).unflatten(0, (-1, 2))


def fused(*linears: nn.Linear) -> nn.Linear:
    """One linear that gives what several give for the same input, side by side."""
    first = linears[0]
    together = nn.Linear(first.in_features, sum(linear.out_features for linear in linears), dtype=first.weight.dtype)
    together.weight.data = torch.cat([linear.weight.detach() for linear in linears])
    together.bias.data = torch.cat([linear.bias.detach() for linear in linears])
    return together


# The lowest number of bfloat16, which float32 has too.
LOWEST = torch.finfo(torch.bfloat16).min


def lowest(mask: Tensor, like: Tensor) -> Tensor:
    """A mask to add to attention scores, of the type of `like`: 0 where `mask` is 1, and LOWEST where it is 0."""
    return (1.0 - mask.type_as(like)) * LOWEST


@torch.jit.script
def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attention without a mask: [B, H, T, Dh] and two of [B, H, S, Dh] -> [B, T, H * Dh].

    Scripted, because a module that is traced in float32 may run in bfloat16. In that, two products took half the time of
    `scaled_dot_product_attention` (Zen 4; of a few queries as much); the scores are rounded to bfloat16, as in transformers'
    own attention.
    """
    if query.dtype != torch.bfloat16:
        return merge_heads(scaled_dot_product_attention(query, key, value, scale=scale))
    scaled = query * scale
    # So few rows of scores, 3 MB of a picture's tokens, are still in the CPU's cache when they are used.
    count = (query.shape[1] * query.shape[2] + 2699) // 2700
    contexts: list[Tensor] = []
    for i in range(query.shape[0]):
        # `matmul` would copy them too, more slowly, and for every block.
        keys, values = key[i].contiguous().transpose(1, 2), value[i].contiguous()
        blocks: list[Tensor] = []
        for block in scaled[i].chunk(count, dim=1):
            scores = torch.matmul(block.contiguous(), keys)
            blocks.append(torch.matmul(torch.softmax(scores, dim=-1), values).transpose(0, 1))
        contexts.append(torch.cat(blocks).flatten(1))
    return torch.stack(contexts)


class VisionModelFused(nn.Module):
    """Looks at pictures.

    pixel_values float32 [B, 3, H, W] -> {last_hidden_state float32 [B, S, D], pooler_output float32 [B, D]}
    """

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.heads = vision_model.config.num_attention_heads

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        model: Any = self.vision_model
        embeddings = model.embeddings
        # As its own forward, which would ask for the weights' type while it is traced, and keep to it.
        patches = embeddings.patch_embedding(pixel_values.type_as(embeddings.patch_embedding.weight))
        first = embeddings.class_embedding.expand(pixel_values.shape[0], 1, -1)
        hidden = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1) + embeddings.position_embedding
        for layer in model.encoder.layers:
            qkv = layer.self_attn.qkv(layer.layer_norm1(hidden))
            query, key, value = (split_heads(part, self.heads) for part in qkv.chunk(3, dim=-1))
            context = attend(query, key, value, layer.self_attn.scale)
            hidden = hidden + layer.self_attn.projection(context)
            hidden = hidden + layer.mlp(layer.layer_norm2(hidden))
        hidden = model.post_layernorm(hidden)
        # Before `float`: while it is traced in float32 that returns its own argument, whose later uses the trace then takes
        # for uses of the float32 one.
        pooled = model.post_layernorm(hidden[:, 0])
        return {"last_hidden_state": hidden.float(), "pooler_output": pooled.float()}


class TextLayer(nn.Module):
    """One layer of BLIP's text model, in the pieces that the modules below put together."""

    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        own, cross = layer.attention, layer.crossattention
        self.heads = heads
        self.qkv = fused(own.self.query, own.self.key, own.self.value)
        self.own_output = own.output
        self.query = cross.self.query
        self.key_value = fused(cross.self.key, cross.self.value)
        self.cross_output = cross.output
        self.intermediate, self.output = layer.intermediate, layer.output

    def attend_own(self, hidden: Tensor, mask: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Self-attention, `past` [2, N, H, T0, Dh] before the text. Returns the hidden states, all keys, all values."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(hidden).chunk(3, dim=-1))
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        context = merge_heads(scaled_dot_product_attention(query, key, value, attn_mask=mask))
        return self.own_output.LayerNorm(self.own_output.dense(context) + hidden), key, value

    def keys_values(self, encoded: Tensor) -> list[Tensor]:
        """What cross-attention looks at: [Q, Lk, De] -> keys and values, [Q, H, Lk, Dh] each."""
        return [split_heads(part, self.heads) for part in self.key_value(encoded).chunk(2, dim=-1)]

    def finish(self, hidden: Tensor, context: Tensor) -> Tensor:
        """The layer's rest, from what cross-attention found: both [N, T, Dt]."""
        hidden = self.cross_output.LayerNorm(self.cross_output.dense(context) + hidden)
        return self.output.LayerNorm(self.output.dense(self.intermediate(hidden)) + hidden)


def embed(embeddings: Any, input_ids: Tensor, start: Any = 0) -> Tensor:
    """Embeddings of tokens whose first stands at position `start`."""
    positions = embeddings.position_ids[:, start : start + input_ids.shape[1]]
    return embeddings.LayerNorm(embeddings.word_embeddings(input_ids) + embeddings.position_embeddings(positions))


class TextEncoderCached(nn.Module):
    """Reads N questions about one picture.

    The tutorial's text encoder projects the picture's S tokens to keys and values, which depend on the picture alone, for
    every question: two thirds of its work. Here there are two ways around it.
    """

    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        heads, width = text_encoder.config.num_attention_heads, text_encoder.config.hidden_size
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.embeddings = text_encoder.embeddings
        self.layers = nn.ModuleList(TextLayer(layer, heads) for layer in text_encoder.encoder.layer)
        # For `forward`, which uses these weights otherwise than as a linear does.
        cross = [layer.crossattention.self for layer in text_encoder.encoder.layer]
        self.key_weights = nn.ParameterList(self._by_head(attention.key) for attention in cross)
        self.value_weights = nn.ParameterList(self._by_head(attention.value) for attention in cross)
        self.value_biases = nn.ParameterList(nn.Parameter(attention.value.bias.detach()) for attention in cross)

    def _by_head(self, linear: nn.Linear) -> nn.Parameter:
        return nn.Parameter(linear.weight.detach().unflatten(0, (self.heads, -1)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor) -> Tensor:
        """For few questions about a picture: no keys and values at all.

        input_ids int64 [N, Lq], attention_mask int64 [N, Lq], image_embeds float32 [1, S, D] -> question_embeds float32
        [N, Lq, Dt]

        A score q.(K x + b) is (K^T q).x plus a constant that the softmax cancels, and the sum over tokens of p (V x + c) is
        V (sum of p x) + c: the projections are applied to the question's few tokens instead of the picture's many.
        """
        hidden = embed(self.embeddings, input_ids)
        mask = lowest(attention_mask, hidden)[:, None, None, :]
        rows, length, width = hidden.shape
        tokens = image_embeds.type_as(hidden)[:, None]
        for index, layer in enumerate(self.layers):
            hidden, _, _ = layer.attend_own(hidden, mask)
            query = layer.query(hidden).view(rows * length, self.heads, width // self.heads).transpose(0, 1)
            query = torch.bmm(query, self.key_weights[index]).view(1, 1, self.heads * rows * length, tokens.shape[3])
            found = attend(query, tokens, tokens, self.scale).view(self.heads, rows * length, tokens.shape[3])
            context = torch.bmm(found, self.value_weights[index].transpose(1, 2)).transpose(0, 1)
            hidden = layer.finish(hidden, context.reshape(rows, length, width) + self.value_biases[index])
        return hidden.float()

    def image_keys_values(self, image_embeds: Tensor) -> Tensor:
        """The picture's keys and values: float32 [1, S, D] -> dtype [L, 2, H, S, Dh]."""
        tokens = image_embeds.type_as(self.embeddings.word_embeddings.weight)
        return stack_pairs([part[0] for layer in self.layers for part in layer.keys_values(tokens)])

    def forward_cached(self, input_ids: Tensor, attention_mask: Tensor, image_keys_values: Tensor) -> Tensor:
        """As `forward`, from the picture's keys and values. All rows' tokens go through one attention."""
        hidden = embed(self.embeddings, input_ids)
        mask = lowest(attention_mask, hidden)[:, None, None, :]
        rows, length, width = hidden.shape
        kept = image_keys_values.type_as(hidden)
        for index, layer in enumerate(self.layers):
            hidden, _, _ = layer.attend_own(hidden, mask)
            query = split_heads(layer.query(hidden).view(1, rows * length, width), self.heads)
            context = attend(query, kept[index, :1], kept[index, 1:], self.scale)
            hidden = layer.finish(hidden, context.view(rows, length, width))
        return hidden.float()


class TextDecoderCached(nn.Module):
    """Writes answers or captions, each call reading only tokens that it has not read."""

    def __init__(self, text_decoder: Any) -> None:
        super().__init__()
        heads = text_decoder.config.num_attention_heads
        self.heads = heads
        self.embeddings = text_decoder.bert.embeddings
        self.layers = nn.ModuleList(TextLayer(layer, heads) for layer in text_decoder.bert.encoder.layer)
        self.cls = text_decoder.cls

    def encoder_keys_values(self, encoder_hidden_states: Tensor) -> Tensor:
        """Keys and values of a question or a picture: float32 [Q, Lk, De] -> dtype [L, 2, Q, H, Lk, Dh]."""
        encoded = encoder_hidden_states.type_as(self.embeddings.word_embeddings.weight)
        return stack_pairs([part for layer in self.layers for part in layer.keys_values(encoded)])

    def forward(
        self,
        input_ids: Tensor,
        past_keys_values: Tensor,
        parents: Tensor,
        encoder_keys_values: Tensor,
        encoder_rows: Tensor,
        encoder_attention_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The logits of the tokens after N texts of T new tokens, after T0 that were read before.

        input_ids int64 [N, T], past_keys_values dtype [L, 2, P, H, T0, Dh], parents int64 [N]: the row of the past that
        each row continues, encoder_keys_values dtype [L, 2, Q, H, Lk, Dh], encoder_rows int64 [N]: the row of it that
        each looks at, encoder_attention_mask int64 [Q, Lk] -> logits float32 [N, V], present_keys_values dtype
        [L, 2, N, H, T0 + T, Dh]
        """
        before, new = past_keys_values.shape[4], input_ids.shape[1]
        hidden = embed(self.embeddings, input_ids, before)
        positions = torch.arange(before + new)
        causal = lowest(positions[None, :] <= positions[before:, None], hidden)[None, None]
        mask = lowest(encoder_attention_mask, hidden).index_select(0, encoder_rows)[:, None, None, :]
        past = past_keys_values.type_as(hidden).index_select(2, parents)
        encoded = encoder_keys_values.index_select(2, encoder_rows)
        present: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            hidden, key, value = layer.attend_own(hidden, causal, past[index])
            present += [key, value]
            query = split_heads(layer.query(hidden), self.heads)
            context = scaled_dot_product_attention(query, encoded[index, 0], encoded[index, 1], attn_mask=mask)
            hidden = layer.finish(hidden, merge_heads(context))
        return self.cls(hidden[:, -1]).float(), stack_pairs(present)
