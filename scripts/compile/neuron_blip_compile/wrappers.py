"""Modules of positional tensors, which is what tracing needs: what more than one head has.

In all wrappers B is the batch size, Lq the question length, La the answer length, S the tokens of a picture (patches
and the class token), D the vision width, Dt the text width, V the vocabulary. Each wrapper keeps transformers' module
under transformers' own name, so that a part's weights can be found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import masking_utils
from transformers.models.blip.modeling_blip_text import BlipTextModel, BlipTextSelfAttention

# What is added to the score of a token that is not to be attended to. After a softmax its weight is exactly zero, in float32 as
# with the lowest of all numbers (scores are far below 1e4 apart); but it stays a number in fp16 and bf16, where that lowest one
# becomes -inf, and 0 x -inf, which compilers for NeuronCores come to, is no number.
MASKED = -1e4


def small_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores: 0 where `mask` is 1 or True, MASKED where it is 0 or False."""
    return (1.0 - mask.to(dtype)) * MASKED


@contextmanager
def small_masks() -> Iterator[None]:
    """Has transformers make its attention masks of MASKED, and not of `torch.finfo(dtype).min`."""

    def eager_mask(*args: Any, dtype: torch.dtype = torch.float32, **options: Any) -> Tensor | None:
        options.pop("allow_is_causal_skip", None)
        mask = masking_utils.sdpa_mask(*args, allow_is_causal_skip=False, **options)
        return None if mask is None else small_mask(mask, dtype)

    def invert_attention_mask(self: BlipTextModel, mask: Tensor) -> Tensor:
        return small_mask(mask[:, None, None, :], self.dtype)

    # transformers 5 looks "eager" up among these, of which its own are in another table.
    masking_utils.ALL_MASK_ATTENTION_FUNCTIONS["eager"] = eager_mask
    # transformers 4, whose other masks are small already.
    inherited = hasattr(BlipTextModel, "invert_attention_mask")
    if inherited:
        BlipTextModel.invert_attention_mask = invert_attention_mask
    try:
        yield
    finally:
        del masking_utils.ALL_MASK_ATTENTION_FUNCTIONS["eager"]
        if inherited:
            del BlipTextModel.invert_attention_mask


@contextmanager
def cross_attention_masks() -> Iterator[None]:
    """Has BLIP's cross-attention heed its mask.

    transformers 4.57 to 5.18 (at least) lose it on the way: `BlipTextAttention` hands it on as `attention_mask`, and
    `BlipTextSelfAttention` looks for it in `encoder_attention_mask`. A decoder would then attend to the padding of a
    question whatever mask it is given. Versions that hand it on rightly are left alone.
    """
    original = BlipTextSelfAttention.forward

    def forward(
        self: BlipTextSelfAttention,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        **others: Any,
    ) -> Any:
        if encoder_hidden_states is not None and encoder_attention_mask is None:
            encoder_attention_mask = attention_mask
        return original(
            self,
            hidden_states,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            **others,
        )

    BlipTextSelfAttention.forward = forward
    try:
        yield
    finally:
        BlipTextSelfAttention.forward = original


class VisionModel(nn.Module):
    """Looks at a picture.

    pixel_values float32 [B, 3, H, W] -> {last_hidden_state float32 [B, S, D], pooler_output float32 [B, D]}
    """

    inputs = ("pixel_values",)
    outputs = ("last_hidden_state", "pooler_output")
    lengths: tuple[str, ...] = ()

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        output = self.vision_model(pixel_values, return_dict=True)
        return {"last_hidden_state": output.last_hidden_state, "pooler_output": output.pooler_output}


def encode_text(
    text_encoder: nn.Module, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor, image_mask: Tensor
) -> Tensor:
    """The text encoder's last hidden state, the picture at hand: float32 [B, Lq, Dt]."""
    with cross_attention_masks(), small_masks():
        return text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=image_embeds,
            encoder_attention_mask=image_mask,
            return_dict=True,
        ).last_hidden_state


def decode_text(
    text_decoder: nn.Module, input_ids: Tensor, attention_mask: Tensor, embeds: Tensor, embeds_mask: Tensor
) -> Tensor:
    """The text decoder's last hidden state, before the language-model head: float32 [B, La, Dt].

    `embeds` is what it looks at besides its own tokens: a question's embeddings, or a picture's.
    """
    with cross_attention_masks(), small_masks():
        return text_decoder.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=embeds,
            encoder_attention_mask=embeds_mask,
            use_cache=False,
            is_decoder=True,
            return_dict=True,
        ).last_hidden_state


def at_position(hidden: Tensor, position: Tensor) -> Tensor:
    """One position of each row: float32 [B, La, Dt], int64 [1] -> float32 [B, 1, Dt]."""
    # A product with a one-hot mask rather than an index: compilers of static graphs have no data-dependent gather
    # to lower, and the sum is exact, since all other terms are zero.
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    chosen = (positions == position).to(hidden.dtype).view(1, -1, 1)
    return (hidden * chosen).sum(dim=1, keepdim=True)
