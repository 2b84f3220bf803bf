"""The parts for the CPU by the signatures of the tutorial's, so that what runs those can run these."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .head import Part


def adapted(compiled: Mapping[str, Part], wrappers: Mapping[str, Part]) -> dict[str, Part]:
    """A head's parts, by the names and with the signatures of `wrappers`, run by the parts for the CPU where it can be.

    compiled: the parts for the CPU by their names.
    """
    parts = dict(wrappers)
    parts["vision_model"] = compiled["vision_model_fused"]
    if "text_encoder_cached" in compiled:
        parts["text_encoder"] = _encoder(compiled["text_encoder_cached"])
    if "text_decoder_cached" in compiled:
        parts["text_decoder"] = CachedDecoder(compiled["text_decoder_cached"])
    return parts


def _encoder(part: Part) -> Part:
    """A text encoder of rows about a picture each; it takes both ways of the part in turn."""

    def encode(ids: Tensor, mask: Tensor, image_embeds: Tensor, image_mask: Tensor) -> Tensor:
        rows = []
        for row in range(len(ids)):
            one, picture = slice(row, row + 1), image_embeds[row : row + 1]
            if row % 2 == 0:
                rows.append(part(ids[one], mask[one], picture))
            else:
                rows.append(part.forward_cached(ids[one], mask[one], part.image_keys_values(picture)))
        return torch.cat(rows)

    return encode


class CachedDecoder:
    """A text decoder of greedy searches: each call continues the texts of the one before, if it is about the same."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._embeds: Tensor | None = None

    def __call__(self, ids: Tensor, embeds: Tensor, embeds_mask: Tensor, mask: Tensor, position: Tensor) -> Tensor:
        """Inputs and output of the tutorial's decoder. Another search is told by another tensor of `embeds`."""
        rows, end = len(ids), int(position) + 1
        if embeds is not self._embeds:
            self._embeds, self._read = embeds, 0
            self._encoded = self._part.encoder_keys_values(embeds)
            layers, _, _, heads, _, width = self._encoded.shape
            self._past = self._encoded.new_zeros(layers, 2, 1, heads, 0, width)
        parents = torch.arange(rows) if self._read else torch.zeros(rows, dtype=torch.int64)
        new = ids[:, self._read : end]
        logits, self._past = self._part(new, self._past, parents, self._encoded, torch.arange(rows), embeds_mask)
        self._read = end
        return logits[:, None]
