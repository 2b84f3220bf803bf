"""`BlipForQuestionAnswering`: answers to questions about pictures, and with `--rank` what ranking given ones needs.

The three parts have the inputs and outputs of the inf2 tutorial's. The text width equals the vision width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import CompileError
from .examples import Example, image_mask_of, make_decoder_inputs, make_pixels, make_texts
from .generation import greedy_config, greedy_search
from .head import Head, Pairs, Part
from .settings import Settings
from .wrappers import VisionModel, at_position, decode_text, encode_text


class TextEncoder(nn.Module):
    """Reads a question with the picture at hand.

    input_ids int64 [B, Lq], attention_mask int64 [B, Lq], image_embeds float32 [B, S, D],
    image_attention_mask int64 [B, S] -> question_embeds float32 [B, Lq, Dt]
    """

    inputs = ("input_ids", "attention_mask", "image_embeds", "image_attention_mask")
    outputs = ("question_embeds",)
    lengths = ("question_length",)

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor, image_attention_mask: Tensor
    ) -> Tensor:
        return encode_text(self.text_encoder, input_ids, attention_mask, image_embeds, image_attention_mask)


class TextDecoder(nn.Module):
    """One step of an answer: the logits of the token after `current_position`.

    input_ids int64 [B, La] (padded on the right), question_embeds float32 [B, Lq, Dt], question_attention_mask int64
    [B, Lq], attention_mask int64 [B, La], current_position int64 [1] (one for all rows) -> logits float32 [B, 1, V]

    The language-model head, the widest matrix of all, is applied to that one position only.
    """

    inputs = ("input_ids", "question_embeds", "question_attention_mask", "attention_mask", "current_position")
    outputs = ("logits",)
    lengths = ("question_length", "answer_length")

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
        hidden = decode_text(self.text_decoder, input_ids, attention_mask, question_embeds, question_attention_mask)
        return self.text_decoder.cls(at_position(hidden, current_position))


class TextDecoderAllPositions(nn.Module):
    """Reads a whole answer at once: the logits of the token after each position, to score an answer that is given.

    input_ids int64 [B, La] (padded on the right), question_embeds float32 [B, Lq, Dt], question_attention_mask int64
    [B, Lq], attention_mask int64 [B, La] -> logits float32 [B, La, V]
    """

    inputs = ("input_ids", "question_embeds", "question_attention_mask", "attention_mask")
    outputs = ("logits",)
    lengths = ("question_length", "answer_length")

    def __init__(self, text_decoder: nn.Module) -> None:
        super().__init__()
        self.text_decoder = text_decoder

    def forward(
        self, input_ids: Tensor, question_embeds: Tensor, question_attention_mask: Tensor, attention_mask: Tensor
    ) -> Tensor:
        hidden = decode_text(self.text_decoder, input_ids, attention_mask, question_embeds, question_attention_mask)
        return self.text_decoder.cls(hidden)


class QuestionAnswering(Head):
    """Answers questions."""

    architecture = "BlipForQuestionAnswering"
    task = "question answering"
    example_model = "Salesforce/blip-vqa-base"
    default_question_length = 32
    default_answer_length = 20
    generates = True
    can_rank = True

    def check_model(self, model: nn.Module) -> None:
        """Raises CompileError for unequal widths."""
        text, vision = model.config.text_config.hidden_size, model.config.vision_config.hidden_size
        if text != vision:
            raise CompileError(
                f"The text is {text} wide and the picture {vision}: {self.architecture} cannot answer with unequal "
                "widths, since its decoder reads the question through weights of the picture's width."
            )

    def wrap(self, model: nn.Module, settings: Settings) -> dict[str, nn.Module]:
        """vision_model, text_encoder, text_decoder and, where asked for, text_decoder_all_positions (for ranking)."""
        parts: dict[str, nn.Module] = {
            "vision_model": VisionModel(model.vision_model),
            "text_encoder": TextEncoder(model.text_encoder),
            "text_decoder": TextDecoder(model.text_decoder),
        }
        if settings.rank:
            parts["text_decoder_all_positions"] = TextDecoderAllPositions(model.text_decoder)
        return parts

    @torch.no_grad()
    def make_example(
        self, model: nn.Module, parts: Mapping[str, nn.Module], settings: Settings, image_size: int, seed: int
    ) -> Example:
        """Questions of different lengths about different pictures, each answered up to one position."""
        generator = torch.Generator().manual_seed(seed)
        text, rows = model.config.text_config, settings.batch_size
        pixels = make_pixels(rows, image_size, generator)
        ids, mask, lengths = make_texts(text, rows, settings.of("question_length"), seed, generator)
        answer, answer_mask, position = make_decoder_inputs(text, rows, settings.of("answer_length"), seed, generator)
        image_embeds = parts["vision_model"](pixels)["last_hidden_state"]
        encoder = (ids, mask, image_embeds, image_mask_of(image_embeds))
        question = (parts["text_encoder"](*encoder), mask)
        inputs = {
            "vision_model": (pixels,),
            "text_encoder": encoder,
            "text_decoder": (answer, *question, answer_mask, torch.tensor([position])),
        }
        if settings.rank:
            # Whole answers, a token shorter from row to row.
            answer, answer_mask, _ = make_decoder_inputs(text, rows, settings.of("answer_length"), 1, generator)
            for row in range(rows):
                end = max(1, answer.shape[1] - (row + 3 * seed) % answer.shape[1])
                answer[row, end:], answer_mask[row, end:] = text.pad_token_id, 0
            inputs["text_decoder_all_positions"] = (answer, *question, answer_mask)
        return Example(inputs, lengths, position)

    @torch.no_grad()
    def text_pairs(self, part: str, output: Any, model: nn.Module, example: Example) -> Pairs:
        """As in Head: questions and answers without their padding."""
        inputs = example.inputs[part]
        pairs: Pairs = []
        for row, real in enumerate(example.text_lengths):
            rows = slice(row, row + 1)
            if part == "text_encoder":
                ids, _, image_embeds, image_mask = inputs
                expected = model.text_encoder(
                    input_ids=ids[rows, :real],
                    attention_mask=torch.ones(1, real, dtype=torch.int64),
                    encoder_hidden_states=image_embeds[rows],
                    encoder_attention_mask=image_mask[rows],
                )
                pairs.append((output[rows, :real], expected.last_hidden_state))
                continue
            ids, question_embeds, _, mask = inputs[:4]
            end = int(mask[row].sum())
            expected = model.text_decoder(
                input_ids=ids[rows, :end],
                attention_mask=torch.ones(1, end, dtype=torch.int64),
                encoder_hidden_states=question_embeds[rows, :real],
                encoder_attention_mask=torch.ones(1, real, dtype=torch.int64),
            ).logits
            one = part == "text_decoder"
            pairs.append((output[rows] if one else output[rows, :end], expected[:, -1:] if one else expected))
        return pairs

    @torch.no_grad()
    def eager_results(self, model: nn.Module, example: Example, settings: Settings) -> dict[str, Tensor]:
        """`answers`: greedy answers of transformers' `generate`, unpadded; int64 [B, 1 + La], padded."""
        text, length = model.config.text_config, settings.of("answer_length")
        ids = example.inputs["text_encoder"][0]
        pixels = example.inputs["vision_model"][0]
        sequences = torch.full((len(ids), 1 + length), text.pad_token_id, dtype=torch.int64)
        for row, real in enumerate(example.text_lengths):
            answer = model.generate(
                input_ids=ids[row : row + 1, :real],
                attention_mask=torch.ones(1, real, dtype=torch.int64),
                pixel_values=pixels[row : row + 1],
                generation_config=greedy_config(text, length),
            )[0]
            sequences[row, : len(answer)] = answer
        return {"answers": sequences}

    @torch.no_grad()
    def compiled_results(
        self, compiled: Mapping[str, Part], model: nn.Module, example: Example, settings: Settings
    ) -> dict[str, Tensor]:
        """`answers`, as `eager_results`."""
        text = model.config.text_config
        ids, mask, _, image_mask = example.inputs["text_encoder"]
        image_embeds = compiled["vision_model"](*example.inputs["vision_model"])["last_hidden_state"]
        question_embeds = compiled["text_encoder"](ids, mask, image_embeds, image_mask)

        def decode(answer: Tensor, answer_mask: Tensor, position: Tensor) -> Tensor:
            return compiled["text_decoder"](answer, question_embeds, mask, answer_mask, position)

        prompt = torch.full((len(ids), 1), text.bos_token_id, dtype=torch.int64)
        return {"answers": greedy_search(decode, prompt, settings.of("answer_length"), text)}

    def reference(self, example: Example, results: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Padded questions about pictures, and their answers."""
        ids, mask = example.inputs["text_encoder"][:2]
        return {
            "generate.pixel_values": example.inputs["vision_model"][0],
            "generate.input_ids": ids,
            "generate.attention_mask": mask,
            "generate.sequences": results["answers"],
        }

    def reference_metadata(self, settings: Settings) -> dict[str, str]:
        """max_new_tokens of the answers."""
        return {"max_new_tokens": str(settings.answer_length)}
