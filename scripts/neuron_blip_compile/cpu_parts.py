"""The further parts for the CPU: what each is traced with, and how it is compared with transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .cpu_linear import for_many_rows, in_dtype
from .cpu_modules import TextDecoderCached, TextEncoderCached, VisionModelFused
from .head import Pairs
from .source import Source

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class CpuPart:
    """A part to make.

    make_module: of float32, with its linears made for `dtype`: see in_dtype. examples: inputs to trace each method with. inputs,
    outputs: of forward, with -1 for any length. check: what a compiled one gives for other inputs, each beside what
    transformers gives.
    """

    name: str
    make_module: Callable[[], nn.Module]
    dtype: str
    examples: Mapping[str, Inputs]
    inputs: Sequence[tuple[str, str, list[int]]]
    outputs: Sequence[tuple[str, str, list[int]]]
    check: Callable[[Any], Pairs]


def parts_of(source: Source, dtype: str) -> Iterator[CpuPart]:
    """The parts that a model gains from on the CPU. With "int8" the vision model is bf16: it has no small batches."""
    yield _vision_part(source, "bf16" if dtype == "int8" else dtype)
    if source.head.generates:
        if source.head.architecture == "BlipForQuestionAnswering":
            yield _encoder_part(source, dtype)
        yield _decoder_part(source, dtype)


def keys_values_dtype(dtype: str) -> torch.dtype:
    """The type of the text modules' keys and values."""
    return torch.bfloat16 if dtype == "bf16" else torch.float32


def _vision_part(source: Source, dtype: str) -> CpuPart:
    model, config, size = source.model, source.model.config.vision_config, source.image_size
    tokens = (size // config.patch_size) ** 2 + 1

    def pixels(rows: int, seed: int) -> Tensor:
        return torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(seed))

    def check(compiled: Any) -> Pairs:
        pairs: Pairs = []
        for rows in (1, 3):
            found, wanted = compiled(pixels(rows, rows)), model.vision_model(pixels(rows, rows))
            pairs += [(found[name], wanted[name]) for name in ("last_hidden_state", "pooler_output")]
        return pairs

    module = VisionModelFused(model.vision_model)
    outputs = [
        ("last_hidden_state", "float32", [-1, tokens, config.hidden_size]),
        ("pooler_output", "float32", [-1, config.hidden_size]),
    ]
    return CpuPart(
        "vision_model_fused",
        lambda: for_many_rows(module) if dtype == "fp32" else in_dtype(module, dtype),
        dtype,
        {"forward": (pixels(2, 0),)},
        [("pixel_values", "float32", [-1, 3, size, size])],
        outputs,
        check,
    )


def _texts(rows: int, length: int, source: Source, seed: int) -> tuple[Tensor, Tensor]:
    """Tokens of texts and their mask: the first is of the whole length, the others are shorter."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, source.model.config.text_config.vocab_size, (rows, length), generator=generator)
    mask = torch.ones(rows, length, dtype=torch.int64)
    for row in range(1, rows):
        mask[row, max(1, length - 2 * row) :] = 0
    return ids * mask, mask


def _encoder_part(source: Source, dtype: str) -> CpuPart:
    model, text, vision = source.model, source.model.config.text_config, source.model.config.vision_config
    tokens = (source.image_size // vision.patch_size) ** 2 + 1
    heads, layers = text.num_attention_heads, text.num_hidden_layers

    def picture(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.vision_model(torch.randn(1, 3, source.image_size, source.image_size, generator=generator))[0]

    @torch.no_grad()
    def check(compiled: Any) -> Pairs:
        pairs: Pairs = []
        for rows, length in ((1, 3), (1, 8), (3, 13)):
            ids, mask = _texts(rows, length, source, length)
            image = picture(length)
            kept = compiled.image_keys_values(image)
            for found in (compiled(ids, mask, image), compiled.forward_cached(ids, mask, kept)):
                for row, real in enumerate(mask.sum(dim=1).tolist()):
                    wanted = model.text_encoder(
                        input_ids=ids[row : row + 1, :real],
                        attention_mask=torch.ones(1, real, dtype=torch.int64),
                        encoder_hidden_states=image,
                        encoder_attention_mask=torch.ones(1, tokens, dtype=torch.int64),
                    )
                    pairs.append((found[row : row + 1, :real], wanted.last_hidden_state))
        return pairs

    module = TextEncoderCached(model.text_encoder)
    ids, mask = _texts(3, 7, source, 0)
    with torch.no_grad():
        image = picture(0)
        kept = torch.zeros(layers, 2, heads, tokens, text.hidden_size // heads)
    examples = {"forward": (ids, mask, image), "image_keys_values": (image,), "forward_cached": (ids, mask, kept)}
    inputs = [
        ("input_ids", "int64", [-1, -1]),
        ("attention_mask", "int64", [-1, -1]),
        ("image_embeds", "float32", [1, tokens, vision.hidden_size]),
    ]
    outputs = [("question_embeds", "float32", [-1, -1, text.hidden_size])]
    return CpuPart("text_encoder_cached", lambda: in_dtype(module, dtype), dtype, examples, inputs, outputs, check)


def _decoder_part(source: Source, dtype: str) -> CpuPart:
    model, text, vision = source.model, source.model.config.text_config, source.model.config.vision_config
    heads, layers, width = text.num_attention_heads, text.num_hidden_layers, text.hidden_size
    encoded_width = vision.hidden_size  # transformers builds cross-attention for the picture's width

    def encoded(rows: int, length: int, seed: int) -> Tensor:
        return torch.randn(rows, length, encoded_width, generator=torch.Generator().manual_seed(seed))

    def past(rows: int, length: int) -> Tensor:
        return torch.zeros(layers, 2, rows, heads, length, width // heads)

    @torch.no_grad()
    def check(compiled: Any) -> Pairs:
        pairs: Pairs = []
        for length, prompt in ((5, 1), (9, 3), (8, 1)):
            hidden, mask = encoded(2, length, length), _texts(2, length, source, length)[1]
            kept = compiled.encoder_keys_values(hidden)
            # Rows 1 and 2 are about the same, so that each may continue the other.
            rows = torch.tensor([1, 0, 0])
            ids = _texts(3, prompt + 3, source, prompt)[0].clamp(min=1)
            present, told = past(1, 0), ids[:, :0]
            for new, parents in (
                (ids[:, :prompt], torch.zeros(3, dtype=torch.int64)),
                (ids[:, prompt : prompt + 2], torch.tensor([0, 2, 2])),
                (ids[:, -1:], torch.tensor([0, 2, 1])),
            ):
                logits, present = compiled(new, present, parents, kept, rows, mask)
                told = torch.cat([told[parents], new], dim=1)
                for row, about in enumerate(rows.tolist()):
                    real = int(mask[about].sum())
                    wanted = model.text_decoder(
                        input_ids=told[row : row + 1],
                        attention_mask=torch.ones(1, told.shape[1], dtype=torch.int64),
                        encoder_hidden_states=hidden[about : about + 1, :real],
                        encoder_attention_mask=torch.ones(1, real, dtype=torch.int64),
                    )
                    pairs.append((logits[row : row + 1], wanted.logits[:, -1]))
        return pairs

    ids, mask = _texts(5, 2, source, 0)[0], _texts(3, 7, source, 0)[1]
    module = TextDecoderCached(model.text_decoder)
    kept = torch.zeros(layers, 2, 3, heads, 7, width // heads)
    examples = {
        "forward": (ids, past(4, 2), torch.tensor([0, 2, 3, 1, 1]), kept, torch.tensor([0, 2, 2, 1, 0]), mask),
        "encoder_keys_values": (encoded(3, 7, 0),),
    }
    kind = str(keys_values_dtype(dtype)).removeprefix("torch.")
    inputs = [
        ("input_ids", "int64", [-1, -1]),
        ("past_keys_values", kind, [layers, 2, -1, heads, -1, width // heads]),
        ("parents", "int64", [-1]),
        ("encoder_keys_values", kind, [layers, 2, -1, heads, -1, width // heads]),
        ("encoder_rows", "int64", [-1]),
        ("encoder_attention_mask", "int64", [-1, -1]),
    ]
    outputs = [
        ("logits", "float32", [-1, text.vocab_size]),
        ("present_keys_values", kind, [layers, 2, -1, heads, -1, width // heads]),
    ]
    return CpuPart("text_decoder_cached", lambda: in_dtype(module, dtype), dtype, examples, inputs, outputs, check)
