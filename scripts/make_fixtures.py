"""Makes small random BLIPs of the full architecture, for tests.

    python scripts/make_fixtures.py OUT                      every shape, each in OUT/<name>
    python scripts/make_fixtures.py OUT --shapes wide --seed 7
    python scripts/make_fixtures.py OUT --shapes wide --image-size 96 --text-layers 4
    python scripts/make_fixtures.py OUT --head captioning --vision-width 48 --logit-scale 4

Each is a directory as `save_pretrained` writes it, with a tiny BERT tokenizer. The weights are drawn wide enough that
answers (captions; matches) differ by picture and by text and end after different numbers of tokens; a model of which
that is not true is refused, since every comparison with it would pass.

`--head` is the model: question_answering (BlipForQuestionAnswering), captioning (BlipForConditionalGeneration) or
retrieval (BlipForImageTextRetrieval). Pictures and text have one width unless `--vision-width` says otherwise, which
question answering cannot have.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    AddedToken,
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

CLS, SEP = 101, 102
BERT_SIZE = 30522  # tokens of bert-base-uncased
PADDING_BIAS = -100.0  # of the decoder's logit for [PAD]: an answer shall not hold padding
WORDS: tuple[str, ...] = tuple(
    """
    a an and are at big bird black blue boat book box brown car cat chair child circle color count cup cut dog door eat
    fast field find fish flower for four girl glass go gray green grey ground hand has hat head horse house how in is it
    kind large left light made man many middle more name near next no not number of on one or orange people person photo
    picture pink plate purple red right river road room round see shape side sky small square star stop street sun table
    that the there these they thing three to top train tree triangle two wall watch water wear what wheel where which
    white who why window woman wood yellow yes young zebra zoo
    """.split()
)


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, in pixels, features and counts. Without `vision_width` pictures are `width` wide as text is.

    `vocabulary_size` without: as many tokens as there are words. The spreads are standard deviations of weights: narrower
    for wider models, so that a linear magnifies as much. `score_spread`: of the text model's queries and keys, by default
    `text_spread`.
    """

    image_size: int
    patch_size: int
    width: int
    feed_forward: int
    vision_layers: int
    vision_heads: int
    text_layers: int
    text_heads: int
    max_positions: int
    vision_width: int | None = None
    vocabulary_size: int | None = None
    vision_spread: float = 0.15
    text_spread: float = 0.3
    score_spread: float | None = None
    bias_spread: float = 0.1


SHAPES: dict[str, Shape] = {
    "small": Shape(32, 8, 32, 64, 2, 4, 2, 4, 64),
    "deep": Shape(64, 16, 48, 96, 1, 3, 3, 6, 48),
    "wide": Shape(48, 16, 64, 160, 3, 8, 1, 2, 512),
}


def vocabulary(size: int | None = None) -> list[str]:
    """Tokens by id, `size` of them if given. [CLS] and [SEP] have BERT's ids, since BLIP's defaults name them."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
    special = ["[PAD]", *(f"[unused{index}]" for index in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *"!\"#$%&'()*+,-./:;<=>?@[]_", *letters, *(f"##{letter}" for letter in letters), "##s", *WORDS]
    tokens = list(dict.fromkeys(tokens))
    return tokens + [f"word{index}" for index in range(len(tokens), size or 0)]


ADDED_TOKENS = ("[DEC]", "[ENC]")


def make_tokenizer(size: int | None = None) -> Any:
    """A BERT tokenizer with this vocabulary and BLIP's [DEC] and [ENC] behind it: `size` tokens with them, if given.

    As Salesforce's tokenizers for matching, one of 30522 tokens has none behind it.
    """
    added = [] if size == BERT_SIZE else ADDED_TOKENS
    tokens = vocabulary(size and size - len(added))
    if int(transformers.__version__.split(".")[0]) >= 5:
        tokenizer = BertTokenizerFast(vocab={token: index for index, token in enumerate(tokens)})
    else:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "vocab.txt"
            path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
            tokenizer = BertTokenizerFast(vocab_file=str(path))
    # Not as "additional special tokens": transformers 4 cannot read what transformers 5 saves of those.
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in added])
    tokenizer.model_max_length = 512
    return tokenizer


def make_image_processor(image_size: int) -> Any:
    """BLIP's image processor for pictures of that size."""
    try:
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil as Processor
    except ImportError:
        from transformers import BlipImageProcessor as Processor
    return Processor(size={"height": image_size, "width": image_size})


def make_model(shape: Shape, seed: int, head: str = "question_answering", tied: bool = True) -> Any:
    """A model with random weights that follow from `seed` alone, whichever transformers makes it.

    `tied`: the decoder's head has the word embeddings' weight.

    Raises ValueError for question answering with two widths.
    """
    vision_width = shape.vision_width or shape.width
    if head == "question_answering" and vision_width != shape.width:
        raise ValueError("BlipForQuestionAnswering cannot answer with pictures and text of two widths")
    size = shape.vocabulary_size or len(vocabulary()) + len(ADDED_TOKENS)
    config = BlipConfig(
        text_config={
            "vocab_size": size,
            "hidden_size": shape.width,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.text_layers,
            "num_attention_heads": shape.text_heads,
            "max_position_embeddings": shape.max_positions,
            "bos_token_id": size - 2,
            "sep_token_id": SEP,
            "pad_token_id": 0,
            **({} if tied else {"tie_word_embeddings": False}),
        },
        vision_config={
            "hidden_size": vision_width,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.vision_layers,
            "num_attention_heads": shape.vision_heads,
            "image_size": shape.image_size,
            "patch_size": shape.patch_size,
            # transformers' default is 1e-10, with which all pictures look alike.
            "initializer_range": 0.1,
        },
        **HEADS[head].config,
        **({} if tied else {"tie_word_embeddings": False}),
    )
    model = HEADS[head].model(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        if "LayerNorm" in name or "layer_norm" in name or "layernorm" in name:
            weight.copy_(torch.ones_like(weight) if name.endswith("weight") else torch.zeros_like(weight))
            continue
        std = shape.vision_spread if name.startswith("vision_model") else shape.text_spread
        if name.endswith("bias"):
            std = shape.bias_spread
        elif ".query." in name or ".key." in name:
            std = shape.score_spread or std
        weight.copy_(std * torch.randn(weight.shape, generator=generator))
    if hasattr(model, "text_decoder"):
        output_bias(model)[0] += PADDING_BIAS
    model.tie_weights()
    return model


def output_bias(model: Any) -> Tensor:
    """The bias of a decoder's logits [V], which is also `cls.predictions.bias` where the head is tied."""
    bias: Tensor = model.text_decoder.cls.predictions.decoder.bias
    return bias


def scale_logits(model: Any, factor: float) -> None:
    """Multiplies all the decoder's logits by `factor`; [PAD] stays as unlikely as it was where that would help it."""
    head = model.text_decoder.cls.predictions
    padding = head.bias[0].item()
    for weight in (head.transform.LayerNorm.weight, head.transform.LayerNorm.bias, head.bias):
        weight.mul_(factor)
    head.bias[0] = min(padding, padding * factor)


def make_pictures(model: Any, generator: torch.Generator, count: int = 4) -> tuple[Tensor, float]:
    """Pictures of coloured squares [count, 3, H, W], and how far apart the closest two of their embeddings are.

    Raises ValueError where they are too close.
    """
    size = model.config.vision_config.image_size
    pixels = torch.randn(count, 3, 4, 4, generator=generator)
    pixels = torch.nn.functional.interpolate(pixels, size=(size, size), mode="nearest")
    embeds = model.vision_model(pixels).last_hidden_state
    apart = min((embeds[i] - embeds[j]).abs().mean().item() for i in range(count) for j in range(i))
    if apart < 0.05:
        raise ValueError(f"two different pictures have image embeddings only {apart:.2g} apart")
    return pixels, apart


def make_texts(model: Any, length: int, generator: torch.Generator) -> Tensor:
    """Four texts of random words, [CLS] and [SEP] around them: int64 [4, length]."""
    texts = torch.randint(150, model.config.text_config.vocab_size - 2, (4, length), generator=generator)
    texts[:, 0], texts[:, -1] = CLS, SEP
    return texts


@torch.no_grad()
def check_answers(model: BlipForQuestionAnswering, seed: int) -> str:
    """Says how answers vary over pictures and questions. Raises ValueError where too little."""
    generator = torch.Generator().manual_seed(seed)
    pixels, apart = make_pictures(model, generator)
    # Each of four questions to each of four pictures.
    tokens = model.generate(
        input_ids=make_texts(model, 8, generator).repeat(4, 1),
        pixel_values=pixels.repeat_interleave(4, dim=0),
        do_sample=False,
        max_new_tokens=20,
    )
    return judge("answers", "questions", tokens, apart)


@torch.no_grad()
def check_captions(model: BlipForConditionalGeneration, seed: int) -> str:
    """Says how captions vary over pictures and prompts. Raises ValueError where too little."""
    generator = torch.Generator().manual_seed(seed)
    pixels, apart = make_pictures(model, generator)
    prompts = make_texts(model, 4, generator).repeat(4, 1)
    tokens = model.generate(
        input_ids=prompts.clone(),
        attention_mask=torch.ones_like(prompts),
        pixel_values=pixels.repeat_interleave(4, dim=0),
        do_sample=False,
        max_new_tokens=20,
    )
    told = judge("captions", "prompts", tokens[:, 3:], apart)
    bare = {tuple(row) for row in model.generate(pixel_values=pixels, do_sample=False, max_new_tokens=20).tolist()}
    if len(bare) < 2:
        raise ValueError(f"without a prompt all pictures have one caption ({told})")
    return f"{told}, {len(bare)} captions of 4 pictures without a prompt"


@torch.no_grad()
def check_matches(model: BlipForImageTextRetrieval, seed: int) -> str:
    """Says how match and similarity vary over pictures and texts. Raises ValueError where too little."""
    generator = torch.Generator().manual_seed(seed)
    pixels, apart = make_pictures(model, generator)
    texts = make_texts(model, 8, generator)
    pairs = {"input_ids": texts.repeat(4, 1), "pixel_values": pixels.repeat_interleave(4, dim=0)}
    told: list[str] = []
    match = model(**pairs).itm_score.softmax(dim=-1)[:, 1].reshape(4, 4)
    similarity = model(input_ids=texts, pixel_values=pixels, use_itm_head=False).itm_score
    for name, scores in (("match", match), ("similarity", similarity)):
        by_picture, by_text = ((scores.amax(dim) - scores.amin(dim)).min().item() for dim in (0, 1))
        told.append(f"{name} varies by at least {by_picture:.3f} by picture and {by_text:.3f} by text")
        if min(by_picture, by_text) < 0.01:
            raise ValueError(f"its scores hardly vary ({', '.join(told)})")
    return f"{', '.join(told)}, pictures {apart:.2f} apart"


def judge(answers: str, questions: str, tokens: Tensor, apart: float) -> str:
    """Says how the answers int64 [16, T] of four pictures to four questions each vary, the pictures `apart`.

    `answers` and `questions` are what these are called. Raises ValueError where the answers vary too little.
    """
    rows = [tuple(token for token in row if token) for row in tokens.tolist()]
    by_picture = min(len(set(rows[question::4])) for question in range(4))
    by_question = min(len(set(rows[4 * picture : 4 * picture + 4])) for picture in range(4))
    lengths = {len(row) for row in rows}
    told = (
        f"at least {by_picture} {answers} of 4 pictures to a {questions[:-1]}, {by_question} of 4 {questions} to a "
        f"picture, of {', '.join(map(str, sorted(lengths)))} tokens, pictures {apart:.2f} apart"
    )
    if by_picture < 2 or by_question < 2 or len(lengths) < 3:
        raise ValueError(f"its {answers} hardly vary ({told})")
    return told


@dataclass(frozen=True)
class Head:
    """One kind of BLIP: its class, how to judge one, and what its configuration has besides the shape."""

    model: type[Any]
    check: Callable[[Any, int], str]
    config: dict[str, Any]


HEADS: dict[str, Head] = {
    "question_answering": Head(BlipForQuestionAnswering, check_answers, {}),
    "captioning": Head(BlipForConditionalGeneration, check_captions, {}),
    "retrieval": Head(BlipForImageTextRetrieval, check_matches, {"image_text_hidden_size": 24}),
}


def end_answers(model: Any, check: Callable[[Any, int], str], seed: int) -> str:
    """Favours [SEP] as much as it takes for some answers to end early: by chance, few of them would.

    Returns what `check` says; raises ValueError where no bias helps.
    """
    bias = output_bias(model)
    for _ in range(48):
        try:
            return check(model, seed)
        except ValueError as error:
            reason = error
        bias[SEP] += 0.25
    raise reason


def write(directory: Path, shape: Shape, seed: int, head: str = "question_answering", logit_scale: float = 1.0) -> str:
    """Makes, checks and writes one model. Returns what its head's check says; raises ValueError as it does."""
    model = make_model(shape, seed, head)
    check = HEADS[head].check
    if hasattr(model, "text_decoder"):
        told = end_answers(model, check, seed)
        if logit_scale != 1:
            scale_logits(model, logit_scale)
            told = check(model, seed)
    else:
        told = check(model, seed)
    save(model, shape, directory)
    return told


def save(model: Any, shape: Shape, directory: Path, max_shard_size: str = "50GB") -> None:
    """Writes a model with its tokenizer and image processor, in files of at most `max_shard_size`."""
    model.save_pretrained(directory, max_shard_size=max_shard_size)
    make_tokenizer(shape.vocabulary_size).save_pretrained(directory)
    make_image_processor(shape.image_size).save_pretrained(directory)


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description="Make small random BLIPs of the full architecture, for tests.")
    parser.add_argument("out", type=Path, metavar="OUT", help="directory that gets one directory per shape")
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES), help="default: all")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    parser.add_argument("--head", choices=list(HEADS), default="question_answering", help="default %(default)s")
    parser.add_argument(
        "--logit-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="multiplies the decoder's logits: sharper above 1, flatter below (default %(default)s)",
    )
    for field in fields(Shape):
        name = field.name.replace("_", "-")
        kind = float if name.endswith("spread") else int
        parser.add_argument(f"--{name}", type=kind, metavar="N", help=f"instead of the shape's {field.name}")
    options = parser.parse_args()
    if options.logit_scale <= 0:
        parser.error("--logit-scale must be above 0")
    if options.logit_scale != 1 and options.head == "retrieval":
        parser.error("--logit-scale is for decoders, and retrieval has none")
    torch.set_num_threads(1)  # faster for models this small
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    changes = {field.name: getattr(options, field.name) for field in fields(Shape)}
    changes = {name: value for name, value in changes.items() if value is not None}
    for name in options.shapes:
        try:
            shape = replace(SHAPES[name], **changes)
            told = write(options.out / name, shape, options.seed, options.head, options.logit_scale)
        except ValueError as error:
            print(f"error: {name} with seed {options.seed} is of no use: {error}. Try another seed.", file=sys.stderr)
            return 1
        print(f"{options.out / name}: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
