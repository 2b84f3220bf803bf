"""`BlipForImageTextRetrieval`: how well a text and a picture go together, by two measures.

The matching score reads the text with the picture at hand; the similarity compares what each is by itself. P is the
width that pictures and texts are projected to (`image_text_hidden_size`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .examples import Example, image_mask_of, make_pixels, make_texts
from .head import Head, Pairs, Part
from .settings import Settings
from .wrappers import VisionModel, encode_text, small_masks


class ImageTextMatching(nn.Module):
    """Whether a text fits a picture: logits of "no" and "yes".

    input_ids int64 [B, Lq], attention_mask int64 [B, Lq], image_embeds float32 [B, S, D],
    image_attention_mask int64 [B, S] -> itm_logits float32 [B, 2]
    """

    inputs = ("input_ids", "attention_mask", "image_embeds", "image_attention_mask")
    outputs = ("itm_logits",)
    lengths = ("question_length",)

    def __init__(self, text_encoder: nn.Module, itm_head: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.itm_head = itm_head

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor, image_attention_mask: Tensor
    ) -> Tensor:
        hidden = encode_text(self.text_encoder, input_ids, attention_mask, image_embeds, image_attention_mask)
        return self.itm_head(hidden[:, 0, :])


class ImageProjection(nn.Module):
    """A picture as one vector of length 1.

    image_embeds float32 [B, S, D] -> image_features float32 [B, P]
    """

    inputs = ("image_embeds",)
    outputs = ("image_features",)
    lengths: tuple[str, ...] = ()

    def __init__(self, vision_proj: nn.Module) -> None:
        super().__init__()
        self.vision_proj = vision_proj

    def forward(self, image_embeds: Tensor) -> Tensor:
        return normalize(self.vision_proj(image_embeds[:, 0, :]), dim=-1)


class TextProjection(nn.Module):
    """A text, read without any picture, as one vector of length 1.

    input_ids int64 [B, Lq], attention_mask int64 [B, Lq] -> text_features float32 [B, P]
    """

    inputs = ("input_ids", "attention_mask")
    outputs = ("text_features",)
    lengths = ("question_length",)

    def __init__(self, text_encoder: nn.Module, text_proj: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.text_proj = text_proj

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        with small_masks():
            output = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        return normalize(self.text_proj(output.last_hidden_state[:, 0, :]), dim=-1)


class Retrieval(Head):
    """Compares texts with pictures. The question length is that of a text."""

    architecture = "BlipForImageTextRetrieval"
    task = "image-text retrieval"
    example_model = "Salesforce/blip-itm-base-coco"
    default_question_length = 32

    def wrap(self, model: nn.Module, settings: Settings) -> dict[str, nn.Module]:
        """vision_model, image_text_matching, image_projection, text_projection."""
        return {
            "vision_model": VisionModel(model.vision_model),
            "image_text_matching": ImageTextMatching(model.text_encoder, model.itm_head),
            "image_projection": ImageProjection(model.vision_proj),
            "text_projection": TextProjection(model.text_encoder, model.text_proj),
        }

    @torch.no_grad()
    def make_example(
        self, model: nn.Module, parts: Mapping[str, nn.Module], settings: Settings, image_size: int, seed: int
    ) -> Example:
        """Texts of different lengths, each with a picture."""
        generator = torch.Generator().manual_seed(seed)
        text, rows = model.config.text_config, settings.batch_size
        pixels = make_pixels(rows, image_size, generator)
        ids, mask, lengths = make_texts(text, rows, settings.of("question_length"), seed, generator)
        image_embeds = parts["vision_model"](pixels)["last_hidden_state"]
        inputs = {
            "vision_model": (pixels,),
            "image_text_matching": (ids, mask, image_embeds, image_mask_of(image_embeds)),
            "image_projection": (image_embeds,),
            "text_projection": (ids, mask),
        }
        return Example(inputs, lengths)

    @torch.no_grad()
    def text_pairs(self, part: str, output: Tensor, model: nn.Module, example: Example) -> Pairs:
        """As in Head: texts without their padding."""
        inputs = example.inputs[part]
        if part == "image_projection":
            return [(output, normalize(model.vision_proj(inputs[0][:, 0]), dim=-1))]
        pairs: Pairs = []
        for row, real in enumerate(example.text_lengths):
            rows = slice(row, row + 1)
            text = {"input_ids": inputs[0][rows, :real], "attention_mask": torch.ones(1, real, dtype=torch.int64)}
            if part == "image_text_matching":
                hidden = model.text_encoder(
                    **text, encoder_hidden_states=inputs[2][rows], encoder_attention_mask=inputs[3][rows]
                ).last_hidden_state
                pairs.append((output[rows], model.itm_head(hidden[:, 0])))
            else:
                hidden = model.text_encoder(**text).last_hidden_state
                pairs.append((output[rows], normalize(model.text_proj(hidden[:, 0]), dim=-1)))
        return pairs

    @torch.no_grad()
    def eager_results(self, model: nn.Module, example: Example, settings: Settings) -> dict[str, Tensor]:
        """`match`, the probability that the text fits the picture, and `similarity`, the cosine: float32 [B]."""
        ids, pixels = example.inputs["text_projection"][0], example.inputs["vision_model"][0]
        match, similarity = [], []
        for row, real in enumerate(example.text_lengths):
            rows = slice(row, row + 1)
            inputs = {
                "input_ids": ids[rows, :real],
                "attention_mask": torch.ones(1, real, dtype=torch.int64),
                "pixel_values": pixels[rows],
            }
            match.append(model(**inputs, use_itm_head=True).itm_score.softmax(dim=-1)[0, 1])
            similarity.append(model(**inputs, use_itm_head=False).itm_score[0, 0])
        return {"match": torch.stack(match), "similarity": torch.stack(similarity)}

    @torch.no_grad()
    def compiled_results(
        self, compiled: Mapping[str, Part], model: nn.Module, example: Example, settings: Settings
    ) -> dict[str, Tensor]:
        """`match` and `similarity`, as `eager_results`."""
        ids, mask = example.inputs["text_projection"]
        image_embeds = compiled["vision_model"](*example.inputs["vision_model"])["last_hidden_state"]
        logits = compiled["image_text_matching"](ids, mask, image_embeds, image_mask_of(image_embeds))
        similarity = compiled["image_projection"](image_embeds) * compiled["text_projection"](ids, mask)
        return {"match": logits.softmax(dim=-1)[:, 1], "similarity": similarity.sum(dim=-1)}
