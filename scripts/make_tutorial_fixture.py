"""Makes a directory as the inf2 tutorial's own `trace()` leaves it: config.json and three .pt files, and nothing else.

    python scripts/make_tutorial_fixture.py OUT                                   384 px, question 8, answer 20
    python scripts/make_tutorial_fixture.py OUT --image-size 32 --patch-size 8 --question-length 12 --answer-length 9
    python scripts/make_tutorial_fixture.py OUT --model MODEL                     from a model directory
    python scripts/make_tutorial_fixture.py OUT --static                          lengths fixed, as a compiler would

A trace of transformers' BLIP for the CPU takes questions and answers of any length up to the model's positions,
whatever lengths it was made with. --static adds what refuses every other length, to test loaders without a Neuron
compiler.

The model is small and random (see make_fixtures.py) unless MODEL is given. Differences from scripts/trace.py, all of
them the tutorial's: the decoder's head runs over all positions and the wanted one is picked from its output; the
question's mask goes to transformers as it is, which from 4.57 to 5.18 at least ignores it; no manifest, no tokenizer,
batch 1.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from make_fixtures import SHAPES, make_image_processor, make_model, make_tokenizer
from neuron_blip_compile.targets import save
from torch import Tensor, nn
from transformers import BlipForQuestionAnswering


class NeuronVisionModel(nn.Module):
    """pixel_values [1, 3, H, W] -> {last_hidden_state, pooler_output}"""

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        outputs = self.vision_model(pixel_values)
        return {"last_hidden_state": outputs.last_hidden_state, "pooler_output": outputs.pooler_output}


class NeuronTextEncoder(nn.Module):
    """input_ids, attention_mask [1, Lq], image_embeds [1, S, D], image mask [1, S] -> question_embeds [1, Lq, D]"""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor, image_embeds: Tensor, image_mask: Tensor) -> Tensor:
        return self.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=image_embeds,
            encoder_attention_mask=image_mask,
            return_dict=False,
        )[0]


class Static(nn.Module):
    """Gives a part's outputs, and refuses token ids of any other length than at tracing.

    It adds a fixed zero tensor in place, which cannot be broadcast the other way.
    """

    def __init__(self, part: nn.Module, length: int) -> None:
        super().__init__()
        self.part = part
        self.zeros = nn.Buffer(torch.zeros(1, length, dtype=torch.int64))

    def forward(self, input_ids: Tensor, *others: Tensor) -> Tensor:
        return self.part(input_ids.clone().add_(self.zeros), *others)


class StaticDecoder(nn.Module):
    """`Static` for both lengths of the decoder."""

    def __init__(self, part: nn.Module, question_length: int, answer_length: int) -> None:
        super().__init__()
        self.part = Static(part, answer_length)
        self.zeros = nn.Buffer(torch.zeros(1, question_length, 1))

    def forward(self, input_ids: Tensor, question_embeds: Tensor, *others: Tensor) -> Tensor:
        return self.part(input_ids, question_embeds.clone().add_(self.zeros), *others)


class DecoderOutputFormatter(nn.Module):
    """Picks one position of the decoder's logits, by a gather or by a product with a mask."""

    def __init__(self, gather: bool) -> None:
        super().__init__()
        self.gather = gather

    def forward(self, logits: Tensor, current_position: Tensor) -> Tensor:
        if self.gather:
            return torch.index_select(logits, 1, current_position)
        mask = (torch.arange(logits.shape[1]) == current_position).to(logits.dtype)
        return torch.sum(logits * mask.view(1, -1, 1), dim=1, keepdim=True)


class PaddedDecoder(nn.Module):
    """input_ids [1, La], question_embeds [1, Lq, D], question mask [1, Lq], attention_mask [1, La], position [1]
    -> logits [1, 1, V]
    """

    def __init__(self, text_decoder: nn.Module, gather: bool) -> None:
        super().__init__()
        self.text_decoder = text_decoder
        self.formatter = DecoderOutputFormatter(gather)

    def forward(
        self,
        input_ids: Tensor,
        question_embeds: Tensor,
        question_mask: Tensor,
        attention_mask: Tensor,
        current_position: Tensor,
    ) -> Tensor:
        logits = self.text_decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=question_embeds,
            encoder_attention_mask=question_mask,
            use_cache=False,
            return_dict=False,
        )[0]
        return self.formatter(logits, current_position)


@torch.no_grad()
def write(
    directory: Path,
    model: BlipForQuestionAnswering,
    question_length: int,
    answer_length: int,
    gather: bool,
    static: bool,
) -> None:
    """Traces the parts of `model` into `directory`, which also gets config.json."""
    config = model.config
    size = config.vision_config.image_size
    tokens = (size // config.vision_config.patch_size) ** 2 + 1
    width = config.text_config.hidden_size
    question = torch.ones(1, question_length, dtype=torch.int64)
    answer = torch.full((1, answer_length), config.text_config.pad_token_id, dtype=torch.int64)
    answer[0, 0] = config.text_config.bos_token_id
    answer_mask = torch.zeros_like(answer)
    answer_mask[0, 0] = 1
    image_embeds = torch.zeros(1, tokens, config.vision_config.hidden_size)
    image_mask = torch.ones(1, tokens, dtype=torch.int64)
    question_embeds = torch.zeros(1, question_length, width)
    text_encoder: nn.Module = NeuronTextEncoder(model.text_encoder)
    text_decoder: nn.Module = PaddedDecoder(model.text_decoder, gather)
    if static:
        text_encoder = Static(text_encoder, question_length)
        text_decoder = StaticDecoder(text_decoder, question_length, answer_length)
    traced = {
        "vision_model": (NeuronVisionModel(model.vision_model), (torch.zeros(1, 3, size, size),)),
        "text_encoder": (text_encoder, (question, question, image_embeds, image_mask)),
        "text_decoder": (
            text_decoder,
            (answer, question_embeds, question, answer_mask, torch.zeros(1, dtype=torch.int64)),
        ),
    }
    directory.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(directory)
    for name, (module, example) in traced.items():
        save(torch.jit.trace(module, example, strict=False, check_trace=False), directory / f"{name}.pt", "cpu")


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description="Make a model directory as the inf2 tutorial's trace() leaves it.")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--model", metavar="MODEL", help="trace this one instead of a small random one")
    parser.add_argument("--image-size", type=int, default=384, metavar="N", help="in pixels (default %(default)s)")
    parser.add_argument("--patch-size", type=int, default=16, metavar="N", help="in pixels (default %(default)s)")
    parser.add_argument("--question-length", type=int, default=8, metavar="N", help="in tokens (default %(default)s)")
    parser.add_argument("--answer-length", type=int, default=20, metavar="N", help="in tokens (default %(default)s)")
    parser.add_argument("--select", choices=("gather", "mask"), default="gather", help="how one position is picked")
    parser.add_argument("--static", action="store_true", help="refuse other lengths than these two")
    parser.add_argument("--seed", type=int, default=1, help="of the random weights (default %(default)s)")
    parser.add_argument("--save-model", type=Path, metavar="DIR", help="also write the model, as save_pretrained does")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="also write tokenizer and image processor there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if options.model:
        model = BlipForQuestionAnswering.from_pretrained(
            options.model, dtype=torch.float32, attn_implementation="eager"
        )
    else:
        shape = replace(SHAPES["small"], image_size=options.image_size, patch_size=options.patch_size)
        model = make_model(shape, options.seed)
    if options.save_model:
        model.save_pretrained(options.save_model)
    for directory in {options.save_model, options.tokenizer} - {None}:
        make_tokenizer().save_pretrained(directory)
        make_image_processor(model.config.vision_config.image_size).save_pretrained(directory)
    gather = options.select == "gather"
    write(options.out, model.eval(), options.question_length, options.answer_length, gather, options.static)
    print(f"{options.out}: question {options.question_length}, answer {options.answer_length}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
