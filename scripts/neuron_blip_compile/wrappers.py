"""The three parts of BLIP as modules of positional tensors, which is what tracing needs.

Inputs and outputs are those of the inf2 tutorial's parts. B is the batch size, Lq the question length, La the answer
length, S the tokens of a picture (patches and the class token), D the vision width, Dt the text width (equal to D), V
the vocabulary. Each wrapper keeps transformers' module under transformers' own name, so that a part's weights can be
found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention

PARTS: tuple[str, ...] = ("vision_model", "text_encoder", "text_decoder")


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

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        output = self.vision_model(pixel_values, return_dict=True)
        return {"last_hidden_state": output.last_hidden_state, "pooler_output": output.pooler_output}


class TextEncoder(nn.Module):
    """Reads a question with the picture at hand.

    input_ids int64 [B, Lq], attention_mask int64 [B, Lq], image_embeds float32 [B, S, D],
    image_attention_mask int64 [B, S] -> question_embeds float32 [B, Lq, Dt]
    """

    inputs = ("input_ids", "attention_mask", "image_embeds", "image_attention_mask")
    outputs = ("question_embeds",)

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor, image_attention_mask: Tensor
    ) -> Tensor:
        with cross_attention_masks():
            return self.text_encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                encoder_hidden_states=image_embeds,
                encoder_attention_mask=image_attention_mask,
                return_dict=True,
            ).last_hidden_state


class TextDecoder(nn.Module):
    """One step of an answer: the logits of the token after `current_position`.

    input_ids int64 [B, La] (padded on the right), question_embeds float32 [B, Lq, Dt], question_attention_mask int64
    [B, Lq], attention_mask int64 [B, La], current_position int64 [1] (one for all rows) -> logits float32 [B, 1, V]

    The language-model head, the widest matrix of all, is applied to that one position only.
    """

    inputs = ("input_ids", "question_embeds", "question_attention_mask", "attention_mask", "current_position")
    outputs = ("logits",)

    def __init__(self, text_decoder: nn.Module) -> None:
        super().__init__()
        self.text_decoder = text_decoder

    def forward(
        self,
        input_ids: Tensor,
        question_embeds: Tensor,
        question_attention_mask: Tensor,
        attention_mask: Tensor,
        current_position: Tensor,
    ) -> Tensor:
        with cross_attention_masks():
            hidden = self.text_decoder.bert(
                input_ids=input_ids,
                attention_mask=attention_mask,
                encoder_hidden_states=question_embeds,
                encoder_attention_mask=question_attention_mask,
                use_cache=False,
                is_decoder=True,
                return_dict=True,
            ).last_hidden_state
        # A product with a one-hot mask rather than an index: compilers of static graphs have no data-dependent gather
        # to lower, and the sum is exact, since all other terms are zero.
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        chosen = (positions == current_position).to(hidden.dtype).view(1, -1, 1)
        return self.text_decoder.cls((hidden * chosen).sum(dim=1, keepdim=True))


def wrap(model: nn.Module) -> dict[str, nn.Module]:
    """The three parts of a `BlipForQuestionAnswering`, by name; they share its weights."""
    return {
        "vision_model": VisionModel(model.vision_model),
        "text_encoder": TextEncoder(model.text_encoder),
        "text_decoder": TextDecoder(model.text_decoder),
    }
