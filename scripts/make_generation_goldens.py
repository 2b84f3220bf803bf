"""Writes test/fixtures/generation-goldens.json: what transformers' logits processors make of given logits.

    python scripts/make_generation_goldens.py

The processors are those that a BLIP text decoder's `generate` takes for the settings, in its order, so the entries show
its defaults as well: sampling with nothing said keeps the 50 best tokens. The file holds:

  versions    {"torch", "transformers"}
  entries     [{"settings": as GenerationConfig has them, besides what follows,
                "do_sample": bool, "prompt_length": how many tokens of `sequence` were given, "max_length": tokens,
                "eos_token_id": id, "sequence": [ids so far, prompt included],
                "logits": [one per token of the vocabulary: exact decimals, to be read as float32],
                "processed": [the same, processed, to 7 digits; null is minus infinity],
                "probabilities": [softmax of `processed`, to 6 digits]}]

Logits are spread like a sure model's, or "flat" like one's that has no idea, or have many exact "ties". Ones for which
float64 or another order of equal tokens would keep other tokens are drawn anew, since nothing says which is right.

Make it with transformers 5: 4.57 overlooks a sequence_bias or bad_words_ids whose beginning is all of `sequence`.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

Settings = dict[str, Any]

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "generation-goldens.json"
VOCABULARY, EOS, BOS = 60, 57, 58
MAX_LENGTH = 20

# Sequences with the length of their prompt.
FIRST = ([BOS], 1)
ANSWER = ([BOS, 12, 7, 31, 12, 7], 1)
REPEATING = ([BOS, 4, 4, 4, 12, 12, 4, 4], 1)
PROMPT = ([BOS, 5, 9, 14], 4)
CAPTION = ([BOS, 5, 9, 14, 22, 9, 14, 30, 9], 4)
LAST = ([BOS, *range(10, 28)], 1)

# Kind of logits, sequence with the length of its prompt, settings.
Case = tuple[str, tuple[list[int], int], Settings]

PROCESSORS: tuple[Case, ...] = (
    ("normal", ANSWER, {}),
    ("normal", FIRST, {"sequence_bias": [[[3], -2.5], [[41], 4.0]]}),
    ("normal", ANSWER, {"sequence_bias": [[[12, 7, 20], 3.5], [[7, 21], -1.5], [[31, 22], 9.0], [[21], 0.5]]}),
    ("ties", FIRST, {"sequence_bias": [[[BOS, 8], 2.0], [[1, 2, 3, 4], 1.0]]}),
    ("normal", ANSWER, {"repetition_penalty": 1.3}),
    ("ties", REPEATING, {"repetition_penalty": 0.8}),
    ("flat", CAPTION, {"repetition_penalty": 2.0}),
    ("normal", ANSWER, {"no_repeat_ngram_size": 1}),
    ("normal", ANSWER, {"no_repeat_ngram_size": 2}),
    ("flat", ANSWER, {"no_repeat_ngram_size": 3}),
    ("normal", REPEATING, {"no_repeat_ngram_size": 3}),
    ("ties", CAPTION, {"no_repeat_ngram_size": 2}),
    ("normal", FIRST, {"no_repeat_ngram_size": 2}),
    ("normal", ANSWER, {"bad_words_ids": [[3], [41], [12]]}),
    ("normal", ANSWER, {"bad_words_ids": [[12, 7, 20], [7, 21], [31, 22], [1, 2, 3, 4, 5, 6, 7, 8]]}),
    ("ties", FIRST, {"bad_words_ids": [[EOS], [3], [BOS, 8], [40, EOS]]}),
    ("normal", ANSWER, {"bad_words_ids": [[EOS], [7, EOS]]}),
    ("normal", ANSWER, {"min_length": 7}),
    ("normal", ANSWER, {"min_length": 6}),
    ("flat", CAPTION, {"min_length": 10}),
    ("normal", ANSWER, {"min_new_tokens": 6}),
    ("normal", ANSWER, {"min_new_tokens": 5}),
    ("normal", CAPTION, {"min_new_tokens": 6}),
    ("normal", FIRST, {"forced_bos_token_id": 33}),
    ("normal", ANSWER, {"forced_bos_token_id": 33}),
    ("normal", PROMPT, {"forced_bos_token_id": 33}),
    ("normal", LAST, {"forced_eos_token_id": EOS}),
    ("normal", LAST, {"forced_eos_token_id": 21}),
    ("normal", ANSWER, {"forced_eos_token_id": EOS}),
    ("normal", ANSWER, {"suppress_tokens": [0, 3, EOS]}),
    ("ties", FIRST, {"begin_suppress_tokens": [5, EOS]}),
    ("normal", ANSWER, {"begin_suppress_tokens": [5, EOS]}),
    ("normal", PROMPT, {"begin_suppress_tokens": [5, 9]}),
    ("normal", FIRST, {"begin_suppress_tokens": [5, 9], "forced_bos_token_id": 33}),
    ("normal", ([BOS, 33], 1), {"begin_suppress_tokens": [5, 9], "forced_bos_token_id": 33}),
    # Chains.
    ("normal", ANSWER, {"sequence_bias": [[[12], 2.5], [[7, 31], -4.0]], "repetition_penalty": 1.3}),
    ("flat", REPEATING, {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_length": 12}),
    ("normal", CAPTION, {"bad_words_ids": [[9, 14], [22]], "suppress_tokens": [1, 2], "min_new_tokens": 8}),
    ("normal", LAST, {"forced_eos_token_id": EOS, "min_length": 20, "repetition_penalty": 1.2}),
    ("normal", FIRST, {"forced_bos_token_id": 33, "suppress_tokens": [EOS, 34], "sequence_bias": [[[33], -3.0]]}),
    ("ties", ANSWER, {"sequence_bias": [[[7, 9], 1.5]], "bad_words_ids": [[7, 31]], "no_repeat_ngram_size": 1}),
)

SAMPLERS: tuple[Settings, ...] = (
    {},
    {"top_k": 0},
    {"temperature": 0.5, "top_k": 0},
    {"temperature": 2.5, "top_k": 0},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 100},
    {"top_p": 0.3, "top_k": 0},
    {"top_p": 0.95, "top_k": 0},
    {"min_p": 0.1, "top_k": 0},
    {"min_p": 1.0, "top_k": 0},
    {"typical_p": 0.2, "top_k": 0},
    {"typical_p": 0.9, "top_k": 0},
    {"temperature": 1.5, "top_k": 12, "top_p": 0.8},
    {"temperature": 0.7, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.7},
)

SAMPLING_CHAINS: tuple[Case, ...] = (
    ("normal", ANSWER, {"repetition_penalty": 1.3, "temperature": 0.8, "top_k": 10}),
    ("normal", CAPTION, {"bad_words_ids": [[9], [9, 14]], "min_length": 12, "top_p": 0.7, "top_k": 0}),
    ("normal", FIRST, {"forced_bos_token_id": 33, "temperature": 0.5, "top_p": 0.5}),
    ("normal", FIRST, {"suppress_tokens": [*range(57)], "top_k": 5, "min_p": 0.5}),
    # Beams keep at least two tokens each.
    ("normal", ANSWER, {"num_beams": 3, "top_k": 1}),
    ("normal", ANSWER, {"num_beams": 3, "top_k": 0, "top_p": 0.05}),
    ("normal", ANSWER, {"num_beams": 3, "top_k": 0, "min_p": 1.0}),
    ("normal", ANSWER, {"num_beams": 3, "top_k": 0, "typical_p": 0.05}),
)


class Undecided(Exception):
    """Logits of which it is open what becomes of them."""


def make_decoder() -> BlipTextLMHeadModel:
    """A text decoder as small as can be: only how it generates is used."""
    return BlipTextLMHeadModel(
        BlipTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=8,
            encoder_hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=32,
            bos_token_id=BOS,
            sep_token_id=EOS,
            pad_token_id=0,
        )
    )


def make_logits(kind: str, rng: random.Random) -> list[float]:
    """Logits of one of the kinds, one for each token."""
    draws = [rng.gauss(0, 3) for _ in range(VOCABULARY)]
    if kind == "ties":
        return [round(2 * draw) / 2 for draw in draws]
    return [round(draw / 60, 4) if kind == "flat" else round(draw, 3) for draw in draws]


def processors(decoder: BlipTextLMHeadModel, settings: Settings, ids: Tensor, prompt_length: int) -> Any:
    """The processors for these settings, as `generate` gets them for a prompt of that length and `MAX_LENGTH`."""
    config, _ = decoder._prepare_generation_config(
        None, **settings, max_length=MAX_LENGTH, eos_token_id=EOS, pad_token_id=0
    )
    decoder._prepare_special_tokens(config, True, device="cpu")
    config = decoder._prepare_generated_length(
        generation_config=config,
        has_default_max_length=False,
        has_default_min_length="min_length" not in settings,
        model_input_name="input_ids",
        input_ids_length=prompt_length,
        inputs_tensor=ids[:, :prompt_length],
    )
    return decoder._get_logits_processor(
        config, input_ids_seq_length=prompt_length, encoder_input_ids=ids, device="cpu"
    )


def process(decoder: BlipTextLMHeadModel, case: Case, do_sample: bool, logits: list[float]) -> Tensor:
    """Processed logits [V]. Raises Undecided."""
    _, (sequence, prompt_length), settings = case
    ids = torch.tensor([sequence])

    def run(scores: Tensor, sample: bool) -> Tensor:
        chain = processors(decoder, {**settings, "do_sample": sample}, ids, prompt_length)
        return chain(ids, scores.clone())[0]

    single = torch.tensor([logits], dtype=torch.float32)
    processed = run(single, do_sample)
    kept = processed.isfinite()
    if not kept.any():
        raise ValueError(f"{settings} leave no token")
    if not torch.equal(kept, run(single.double(), do_sample).isfinite()):
        raise Undecided
    before = run(single, False)
    for score in before.unique():
        if len(kept[before == score].unique()) > 1:
            raise Undecided
    return processed


def make_entry(decoder: BlipTextLMHeadModel, case: Case, do_sample: bool, rng: random.Random) -> dict[str, Any]:
    """One entry of the file. Raises ValueError where no logits are decided."""
    kind, (sequence, prompt_length), settings = case
    for _ in range(200):
        logits = make_logits(kind, rng)
        try:
            processed = process(decoder, case, do_sample, logits)
        except Undecided:
            continue
        return {
            "settings": settings,
            "do_sample": do_sample,
            "prompt_length": prompt_length,
            "max_length": MAX_LENGTH,
            "eos_token_id": EOS,
            "sequence": sequence,
            "logits": logits,
            "processed": [float(f"{score:.7g}") if score > -torch.inf else None for score in processed.tolist()],
            "probabilities": [float(f"{prob:.6g}") for prob in processed.double().softmax(dim=-1).tolist()],
        }
    raise ValueError(f"{settings} do not decide on any {kind} logits")


def main() -> int:
    """Writes the file and returns the exit code."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    rng = random.Random(1)
    decoder = make_decoder()
    entries = [make_entry(decoder, case, False, rng) for case in PROCESSORS]
    for index, settings in enumerate(SAMPLERS):
        # Each with logits of two kinds, and all kinds in turn.
        for kind in ("normal", ("ties", "flat")[index % 2]):
            entries.append(make_entry(decoder, (kind, ANSWER, settings), True, rng))
    entries += [make_entry(decoder, case, True, rng) for case in SAMPLING_CHAINS]
    versions = {"torch": str(torch.__version__), "transformers": transformers.__version__}
    # One entry to a line.
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    OUT.write_text(f'{{"versions": {json.dumps(versions)},\n"entries": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{OUT.name}: {len(entries)} entries, {OUT.stat().st_size // 1024} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
