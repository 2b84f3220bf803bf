"""`BlipForConditionalGeneration`: captions, from nothing or from a prompt. Text and picture may have unequal widths."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .examples import CLS_TOKEN_ID, Example, image_mask_of, make_decoder_inputs, make_pixels, random_tokens
from .generation import greedy_config, greedy_search
from .head import Head, Pairs, Part
from .settings import Settings
from .wrappers import VisionModel, at_position, decode_text

PROMPT_TOKENS = 4  # of the example's prompt, the first one included: "a picture of" has as many


class CaptionDecoder(nn.Module):
    """One step of a caption: the logits of the token after `current_position`.

    input_ids int64 [B, La] (the prompt and what follows, padded on the right), image_embeds float32 [B, S, D],
    image_attention_mask int64 [B, S], attention_mask int64 [B, La], current_position int64 [1] (one for all rows)
    -> logits float32 [B, 1, V]

    The language-model head, the widest matrix of all, is applied to that one position only.
    """

    inputs = ("input_ids", "image_embeds", "image_attention_mask", "attention_mask", "current_position")
    outputs = ("logits",)
    lengths = ("answer_length",)

    def __init__(self, text_decoder: nn.Module) -> None:
        super().__init__()
        self.text_decoder = text_decoder

    def forward(
        self,
        input_ids: Tensor,
        image_embeds: Tensor,
        image_attention_mask: Tensor,
        attention_mask: Tensor,
        current_position: Tensor,
    ) -> Tensor:
        hidden = decode_text(self.text_decoder, input_ids, attention_mask, image_embeds, image_attention_mask)
        return self.text_decoder.cls(at_position(hidden, current_position))


class Captioning(Head):
    """Describes pictures. The prompt's tokens count towards the answer length."""

    architecture = "BlipForConditionalGeneration"
    task = "captions"
    example_model = "Salesforce/blip-image-captioning-base"
    default_answer_length = 40
    generates = True

    def wrap(self, model: nn.Module, settings: Settings) -> dict[str, nn.Module]:
        """vision_model, text_decoder."""
        return {"vision_model": VisionModel(model.vision_model), "text_decoder": CaptionDecoder(model.text_decoder)}

    @torch.no_grad()
    def make_example(
        self, model: nn.Module, parts: Mapping[str, nn.Module], settings: Settings, image_size: int, seed: int
    ) -> Example:
        """Captions of different pictures up to one position; for even seeds, prompts to begin whole ones with.

        The prompts of a batch have one length: transformers would continue a shorter one after its padding.
        """
        generator = torch.Generator().manual_seed(seed)
        text, rows, length = model.config.text_config, settings.batch_size, settings.of("answer_length")
        pixels = make_pixels(rows, image_size, generator)
        ids, mask, position = make_decoder_inputs(text, rows, length, seed, generator)
        prompt: Tensor | None = None
        if seed % 2 == 0:
            prompt = random_tokens(text, (rows, min(PROMPT_TOKENS, length) + 1), generator)
            prompt[:, 0], prompt[:, -1] = min(CLS_TOKEN_ID, text.vocab_size - 1), text.sep_token_id
        image_embeds = parts["vision_model"](pixels)["last_hidden_state"]
        decoder = (ids, image_embeds, image_mask_of(image_embeds), mask, torch.tensor([position]))
        return Example({"vision_model": (pixels,), "text_decoder": decoder}, position=position, prompt=prompt)

    @torch.no_grad()
    def text_pairs(self, part: str, output: Tensor, model: nn.Module, example: Example) -> Pairs:
        """As in Head: captions without their padding."""
        inputs = example.inputs[part]
        ids, image_embeds, image_mask = inputs[:3]
        end = example.position + 1
        pairs: Pairs = []
        for row in range(len(ids)):
            rows = slice(row, row + 1)
            expected = model.text_decoder(
                input_ids=ids[rows, :end],
                attention_mask=torch.ones(1, end, dtype=torch.int64),
                encoder_hidden_states=image_embeds[rows],
                encoder_attention_mask=image_mask[rows],
            )
            pairs.append((output[rows], expected.logits[:, -1:]))
        return pairs

    @torch.no_grad()
    def eager_results(self, model: nn.Module, example: Example, settings: Settings) -> dict[str, Tensor]:
        """`captions`: greedy ones of transformers' `generate`; int64 [B, 1 + La] with the prompt, padded."""
        text, length = model.config.text_config, settings.of("answer_length")
        pixels, prompt = example.inputs["vision_model"][0], example.prompt
        sequences = torch.full((len(pixels), 1 + length), text.pad_token_id, dtype=torch.int64)
        for row in range(len(pixels)):
            prompted: dict[str, Tensor] = {}
            if prompt is not None:
                # A copy, since `generate` writes the first token into it.
                ids = prompt[row : row + 1].clone()
                prompted = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            begun = 1 if prompt is None else prompt.shape[1] - 1
            caption = model.generate(
                pixel_values=pixels[row : row + 1],
                generation_config=greedy_config(text, 1 + length - begun),
                **prompted,
            )[0]
            sequences[row, : len(caption)] = caption
        return {"captions": sequences}

    @torch.no_grad()
    def compiled_results(
        self, compiled: Mapping[str, Part], model: nn.Module, example: Example, settings: Settings
    ) -> dict[str, Tensor]:
        """`captions`, as `eager_results`."""
        text, pixels = model.config.text_config, example.inputs["vision_model"][0]
        image_embeds = compiled["vision_model"](pixels)["last_hidden_state"]
        image_mask = image_mask_of(image_embeds)
        # What `generate` makes of a prompt: the first token in place of [CLS], and no [SEP].
        prompt = (
            torch.zeros(len(pixels), 1, dtype=torch.int64) if example.prompt is None else example.prompt[:, :-1].clone()
        )
        prompt[:, 0] = text.bos_token_id

        def decode(ids: Tensor, mask: Tensor, position: Tensor) -> Tensor:
            return compiled["text_decoder"](ids, image_embeds, image_mask, mask, position)

        return {"captions": greedy_search(decode, prompt, settings.of("answer_length"), text)}

    def reference(self, example: Example, results: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Pictures, the prompts as the processor makes them, and the captions."""
        tensors = {
            "generate.pixel_values": example.inputs["vision_model"][0],
            "generate.sequences": results["captions"],
        }
        if example.prompt is not None:
            tensors["generate.input_ids"] = example.prompt
            tensors["generate.attention_mask"] = torch.ones_like(example.prompt)
        return tensors

    def reference_metadata(self, settings: Settings) -> dict[str, str]:
        """max_length of the captions, in tokens with the prompt's."""
        return {"max_length": str(settings.of("answer_length") + 1)}
