"""Random checkpoints for the comparison with transformers: small ones, and of the published models' full size."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))
from make_fixtures import (
    HEADS,
    SEP,
    SHAPES,
    Shape,
    end_answers,
    make_model,
    make_pictures,
    make_texts,
    output_bias,
    save,
    scale_logits,
)
from transformers.initialization import no_init_weights
from transformers.modeling_outputs import BaseModelOutputWithPooling

# As the published configs have them. Text models of 12 layers that magnified as much as small ones would make all tokens of a
# text alike, whatever the question; sharper attention, from queries and keys spread wider, keeps them apart.
BASE = Shape(
    image_size=384, patch_size=16, width=768, feed_forward=3072, vision_layers=12, vision_heads=12, text_layers=12,
    text_heads=12, max_positions=512, vocabulary_size=30524, vision_spread=0.036, text_spread=0.024,
    score_spread=0.06, bias_spread=0.04,
)  # fmt: skip
# Pictures are wider than texts. A question answering model has one width, so that its texts are as wide.
LARGE = replace(BASE, vision_width=1024, vision_layers=24, vision_heads=16, vision_spread=0.031)
LARGE_ONE_WIDTH = replace(LARGE, width=1024, feed_forward=4096, text_heads=16, text_spread=0.021, score_spread=0.052)
ALL_SHAPES: dict[str, Shape] = {**SHAPES, "base": BASE, "large": LARGE, "large-one-width": LARGE_ONE_WIDTH}

# The share of a full-size model's steps that shall end an answer.
ENDING = 0.12


@torch.no_grad()
def make_checkpoint(
    directory: Path,
    *,
    head: str,
    shape: str,
    seed: int,
    changes: dict[str, Any],
    logit_scale: float = 1.0,
    tied: bool = True,
    dtype: str = "float32",
    max_shard_size: str = "50GB",
) -> str:
    """Makes and writes a model. Returns what its head's check says of how its outputs vary.

    Of a full-size model that is not checked here, which would take minutes: who compares its outputs sees whether they vary.
    `changes`: fields of Shape to replace. `dtype`: of the numbers in the files. Raises ValueError where outputs vary too
    little to tell right from wrong.
    """
    wanted = replace(ALL_SHAPES[shape], **changes)
    with no_init_weights():  # all are drawn anew
        model = make_model(wanted, seed, head, tied)
    remember_pictures(model)
    check = HEADS[head].check
    if shape not in SHAPES:
        if logit_scale != 1:
            scale_logits(model, logit_scale)
        told = favour_end(model, seed) if hasattr(model, "text_decoder") else "not checked"
    elif hasattr(model, "text_decoder"):
        told = end_answers(model, check, seed)
        if logit_scale != 1:
            scale_logits(model, logit_scale)
            told = check(model, seed)
    else:
        told = check(model, seed)
    save(model.to(getattr(torch, dtype)), wanted, directory, max_shard_size)
    return told


def favour_end(model: Any, seed: int) -> str:
    """Favours [SEP] so that it ends a share of the steps, in one go, and says by how much."""
    bias = output_bias(model)
    generator = torch.Generator().manual_seed(seed)
    texts = make_texts(model, 6, generator)[:2]
    pixels, apart = make_pictures(model, generator, count=2)
    output = model.generate(
        pixel_values=pixels, input_ids=texts, attention_mask=torch.ones_like(texts), do_sample=False, max_new_tokens=14,
        suppress_tokens=[SEP], output_logits=True, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    margins = torch.stack(
        [scores.amax(-1) - logits[:, SEP] for scores, logits in zip(output.scores, output.logits, strict=True)]
    )
    bias[SEP] += margins.flatten().quantile(ENDING)
    return f"pictures {apart:.2f} apart, [SEP] raised to {bias[SEP].item():.2f}"


def remember_pictures(model: Any) -> None:
    """Makes the vision model look at each picture once: what it saw is the same each time."""
    seen: dict[bytes, Tensor] = {}
    look = model.vision_model.forward

    def forward(pixel_values: Tensor, interpolate_pos_encoding: bool = False, **_: Any) -> BaseModelOutputWithPooling:
        rows = []
        for pixels in pixel_values.split(1):
            key = pixels.numpy().tobytes()
            if key not in seen:
                seen[key] = look(pixels, interpolate_pos_encoding=interpolate_pos_encoding).last_hidden_state
            rows.append(seen[key])
        hidden = torch.cat(rows)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=hidden[:, 0])

    model.vision_model.forward = forward
