"""Runs transformers' own generation with many settings, and Salesforce's ranking, and writes what comes out.

    python scripts/parity/generation_reference.py MODEL OUT --images a.png b.png --questions "what is it?" "is it red?"

MODEL is a Hugging Face id or directory of a BlipForQuestionAnswering. Everything is computed on the CPU in float32 with
eager attention. The settings of the runs follow from `--seed`; each value of the grid is in at least one of them.

OUT/generations.json:
  versions    {"torch", "transformers", "python", "pillow"}
  questions   texts; images: file names
  left_out    {reason: number of runs that are not written, since another computer may answer otherwise}
  runs        [{"settings": what `BlipForQuestionAnswering.generate` was given, besides do_sample=False,
                "images": [index per row],
                "input_ids", "attention_mask": [[…] per row], padded on the right to the longest question:
                transformers' decoder attends to that padding,
                "sequences": [[ids, first token included, without padding behind]…], num_return_sequences per row,
                "sequences_scores": [number…], or null if greedy,
                "transition_scores": [[one per generated token]…] of compute_transition_scores: log-probabilities of
                the processed scores if greedy; with beams the processed log-probabilities, not normalised again}]

OUT/rank.json, what `rank_answer` of salesforce/BLIP does, by transformers' decoder:
  candidates, candidate_ids   texts, and their ids with the decoder's first token in the place of [CLS]
  runs        [{"image", "question": indices, "input_ids": the question, unpadded, "k", "label_smoothing",
                "first_token_probs": [of each candidate's first word, after the first token alone],
                "kept": [the k candidates of highest first_token_probs, best first; of equal ones the earlier first],
                "losses": [per kept: cross entropy summed over its tokens, [SEP] included],
                "order": [the kept by rising loss; of equal ones the one that is earlier in `kept` first],
                "probabilities": [softmax of -loss over the kept, in `order`]}]
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL
import torch
import transformers
from parity_reference import read_image
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, BlipForQuestionAnswering

sys.path.append(str(Path(__file__).resolve().parents[1] / "compile"))
from neuron_blip_compile.source import image_processor  # noqa: E402

Settings = dict[str, Any]

# What a run must survive: logits that differ by this much, as another build of torch may compute them.
NOISE = 4e-6
NOISY_RUNS = 3
# transformers marks beams that it may not choose with -1e9.
NO_SCORE = -1e8

CANDIDATES: tuple[str, ...] = (
    "yes", "no", "red", "red car", "red car on road", "black", "black and white cat", "black dog", "two", "yes",
    "a woman in a boat", "green tree", "left", "right hand",
)  # fmt: skip


class Undecided(Exception):
    """A result that should not be written; the message says why."""


def versions() -> dict[str, str]:
    """What the results were made with."""
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "pillow": PIL.__version__,
    }


def load(model: str, kind: type[Any]) -> Any:
    """A checkpoint in float32 with eager attention. Raises ValueError where it is not a `kind`."""
    names = list(AutoConfig.from_pretrained(model).architectures or [])
    if names and kind.__name__ not in names:
        raise ValueError(f"{model} is a {' / '.join(names)}, not a {kind.__name__}")
    loaded = kind.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    return loaded.eval().requires_grad_(False)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes `record`, and makes the directory for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(nine_digits(record), ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")


def nine_digits(value: Any) -> Any:
    """`value` with its floats rounded to nine digits, which float32's numbers are told apart by."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: nine_digits(each) for key, each in value.items()}
    return [nine_digits(each) for each in value] if isinstance(value, list | tuple) else value


class Generator:
    """Runs `generate` of one model, and again in float64 and with noise, to see whether the result is decided."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.double = copy.deepcopy(model).double()
        self.double.text_decoder.cls.register_forward_hook(self._add_noise)
        self._noise: torch.Generator | None = None

    @torch.no_grad()
    def run(self, inputs: Callable[[], dict[str, Tensor]], settings: Settings) -> dict[str, Any]:
        """Generates from `inputs()`, made anew each time since `generate` may write to them.

        Returns sequences, sequences_scores and transition_scores as described at the top of this file. Raises
        Undecided.
        """
        try:
            result = self.generate(self.model, inputs(), settings)
        except ValueError as error:
            raise Undecided("refused by transformers") from error
        scores = [score for row in result["transition_scores"] for score in row]
        if any(not score > NO_SCORE for score in [*scores, *(result["sequences_scores"] or [])]):
            raise Undecided("a score that is not a probability's")
        for seed in range(NOISY_RUNS + 1):
            self._noise = torch.Generator().manual_seed(seed) if seed else None
            other = self.generate(self.double, {key: to_double(value) for key, value in inputs().items()}, settings)
            if other["sequences"] != result["sequences"]:
                raise Undecided("another answer in float64" if seed == 0 else f"another answer with noise of {NOISE}")
        return result

    @torch.no_grad()
    def generate(self, model: Any, inputs: dict[str, Tensor], settings: Settings) -> dict[str, Any]:
        """Generates once, whether that is decided or not. Raises ValueError for settings that transformers refuses."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = model.generate(
                **inputs, do_sample=False, return_dict_in_generate=True, output_scores=True, **settings
            )
        return results_of(model, output)

    def _add_noise(self, _module: torch.nn.Module, _inputs: Any, logits: Tensor) -> Tensor:
        if self._noise is None:
            return logits
        return logits + NOISE * (2 * torch.rand(logits.shape, generator=self._noise, dtype=logits.dtype) - 1)


def results_of(model: Any, output: Any) -> dict[str, Any]:
    """sequences, sequences_scores and transition_scores, as described at the top of this file, of what `generate` returned
    with its scores.
    """
    beams = getattr(output, "beam_indices", None)
    transitions = model.text_decoder.compute_transition_scores(
        output.sequences, output.scores, beams, normalize_logits=beams is None
    )
    rows = output.sequences.tolist()
    prompt = output.sequences.shape[1] - transitions.shape[1]
    eos: int = model.config.text_config.sep_token_id
    if beams is None:
        generated = [row[prompt:] for row in rows]
        lengths = [row.index(eos) + 1 if eos in row else len(row) for row in generated]
    else:
        lengths = (beams >= 0).sum(dim=1).tolist()
    return {
        "sequences": [row[: prompt + length] for row, length in zip(rows, lengths, strict=True)],
        "sequences_scores": None if beams is None else output.sequences_scores.tolist(),
        "transition_scores": [row[:length] for row, length in zip(transitions.tolist(), lengths, strict=True)],
    }


def to_double(tensor: Tensor) -> Tensor:
    """Floating point tensors as float64, others as they are."""
    return tensor.double() if tensor.is_floating_point() else tensor


class Grid:
    """Draws settings: first each value that was not drawn yet, then any.

    A category is one aspect of the settings, with functions that each make one choice of it, so that what has many
    possible values (which words are bad?) is random within its choice.
    """

    def __init__(self, rng: random.Random, said: list[list[int]], model: Any) -> None:
        """`said` is what the model says by itself, first token included. Raises ValueError if that has no words."""
        self.rng = rng
        self.eos: int = model.config.text_config.sep_token_id
        self.said = said
        self.words = sorted({token for row in said for token in row[1:]} - {self.eos})
        if not self.words:
            raise ValueError("the model answers every question with nothing")
        self.vocabulary: int = model.config.text_config.vocab_size
        self.categories: dict[str, list[Callable[[], Settings]]] = {
            "beams": [self._set(num_beams=beams) for beams in range(1, 7)],
            "stopping": [
                self._set(length_penalty=penalty, early_stopping=stopping)
                for penalty in (-1.0, 0.0, 0.6, 1.0, 2.0)
                for stopping in (True, False, "never")
            ],
            "repetition": [self._set(repetition_penalty=penalty) for penalty in (0.8, 1.0, 1.3)],
            "ngram": [self._set(no_repeat_ngram_size=size) for size in range(4)],
            "bad words": [
                lambda: {"bad_words_ids": [[self.word()] for _ in range(3)]},
                lambda: {"bad_words_ids": [self.phrase(2), self.phrase(2)]},
                lambda: {"bad_words_ids": [self.phrase(3), [self.word()]]},
                lambda: {"bad_words_ids": [[self.eos], [self.word()], self.ending()]},
                lambda: {"bad_words_ids": [row[:2] for row in self.rng.sample(self.said, min(3, len(self.said)))]},
            ],
            "bias": [
                lambda: {"sequence_bias": [[[word], self.bias()] for word in self.different(3)]},
                lambda: {"sequence_bias": [[self.phrase(2), self.bias()], [[self.word()], self.bias()]]},
                lambda: {"sequence_bias": [[self.phrase(3), self.bias()], [self.ending(), self.bias()]]},
                lambda: {"sequence_bias": [[[self.eos], self.bias()]]},
            ],
            "minimum": [
                *(self._set(min_length=length) for length in (2, 5, 9, 30)),
                *(self._set(min_new_tokens=length) for length in (1, 4, 8)),
            ],
            "limit": [
                *(self._set(max_new_tokens=length) for length in range(2, 20)),
                *(self._set(max_length=length) for length in (3, 6, 10, 15, 20)),
            ],
            "forced first": [
                lambda: {"forced_bos_token_id": self.word()},
                lambda: {"forced_bos_token_id": self.rng.randrange(self.eos + 2, self.vocabulary)},
            ],
            "forced last": [
                self._set(forced_eos_token_id=self.eos),
                lambda: {"forced_eos_token_id": self.word()},
            ],
            "suppress": [
                lambda: {"suppress_tokens": self.different(3)},
                lambda: {"suppress_tokens": [self.eos, *self.different(1)]},
            ],
            "suppress first": [
                lambda: {"begin_suppress_tokens": [self.eos, *self.different(2)]},
                lambda: {"begin_suppress_tokens": sorted({row[1] for row in self.said})},
            ],
            "returned": [self._set(num_return_sequences=number) for number in range(1, 5)],
            "rows": [self._set(rows=number) for number in range(1, 5)],
        }
        self.missing: dict[str, list[int]] = {
            name: self.rng.sample(range(len(choices)), len(choices)) for name, choices in self.categories.items()
        }

    def draw(self) -> tuple[Settings, dict[str, int]]:
        """Settings of 1 to 4 categories, "rows" among them, and which choice of each category they are."""
        names = [name for name in self.categories if name != "rows"]
        waiting = [name for name in names if self.missing[name]]
        pool = waiting if len(waiting) > 3 else names
        picked = self.rng.sample(pool, self.rng.randint(1, min(4, len(pool))))
        for name in waiting:
            # The last ones to be covered are taken along, whatever else was picked.
            if len(waiting) <= 3 and name not in picked and len(picked) < 4:
                picked.append(name)
        if "limit" not in picked and self.rng.random() < 0.5:
            picked.append("limit")
        settings: Settings = {}
        choices: dict[str, int] = {}
        for name in [*picked, "rows"]:
            choices[name] = self._choose(name)
            settings.update(self.categories[name][choices[name]]())
        needed = settings.get("num_return_sequences", 2 if "stopping" in picked else 1)
        if settings.get("num_beams", 1) < needed or ("num_beams" not in settings and self.rng.random() < 0.5):
            # Not what was picked, where that was too few beams for the rest.
            choices.pop("beams", None)
            settings["num_beams"] = self.rng.randint(max(2, needed), 6)
        return settings, choices

    def covered(self, choices: dict[str, int]) -> None:
        """Notes that a run with these choices is written."""
        for name, choice in choices.items():
            if choice in self.missing[name]:
                self.missing[name].remove(choice)

    def postpone(self, choices: dict[str, int]) -> None:
        """Puts these choices behind the others: one of them may be what a run failed for."""
        for name, choice in choices.items():
            if choice in self.missing[name]:
                self.missing[name].remove(choice)
                self.missing[name].append(choice)

    def word(self) -> int:
        """A token that the model says."""
        return self.rng.choice(self.words)

    def different(self, number: int) -> list[int]:
        """Different tokens that the model says; fewer where there are not so many."""
        return self.rng.sample(self.words, min(number, len(self.words)))

    def phrase(self, length: int) -> list[int]:
        """Tokens that the model says one after the other; fewer where no answer is so long."""
        row = self.rng.choice([row for row in self.said if len(row) > length] or self.said)
        start = self.rng.randrange(max(1, len(row) - length + 1))
        return row[start : start + length]

    def ending(self) -> list[int]:
        """A token that the model ends an answer with, and the end."""
        ended = [row[-2:] for row in self.said if row[-1] == self.eos]
        return self.rng.choice(ended) if ended else [self.word(), self.eos]

    def bias(self) -> float:
        """A bias that is exact in float32."""
        return self.rng.choice((-6.0, -2.5, -0.75, 0.5, 1.25, 3.0))

    def _choose(self, name: str) -> int:
        missing = self.missing[name]
        return missing[0] if missing else self.rng.randrange(len(self.categories[name]))

    def _set(self, **settings: Any) -> Callable[[], Settings]:
        return lambda: dict(settings)


def make_generations(
    model: Any, tokenizer: Any, pixels: list[Tensor], questions: list[str], runs: int, seed: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """At least `runs` runs over pictures [1, 3, H, W] and questions, and the counts of those left out.

    Raises ValueError where values of the grid cannot be covered.
    """
    rng = random.Random(seed)
    generator = Generator(model)

    def ask(pairs: list[tuple[int, int]]) -> dict[str, Tensor]:
        batch = tokenizer(
            [questions[question] for _, question in pairs],
            padding="longest",
            padding_side="right",
            return_token_type_ids=False,
            return_tensors="pt",
        )
        return {
            "pixel_values": torch.cat([pixels[image] for image, _ in pairs]),
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
        }

    pairs = [(image, question) for image in range(len(pixels)) for question in range(len(questions))]
    plain = {pair: generator.generate(model, ask([pair]), {"max_new_tokens": 19})["sequences"][0] for pair in pairs}
    grid = Grid(rng, list(plain.values()), model)
    written: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    attempts = 4 * runs + 400
    while len(written) < runs or any(grid.missing.values()):
        if sum(left_out.values()) + len(written) > attempts:
            missing = {name: choices for name, choices in grid.missing.items() if choices}
            raise ValueError(f"after {attempts} attempts not covered (category and index of its choice): {missing}")
        settings, choices = grid.draw()
        rows = settings.pop("rows")
        asked = [rng.choice(pairs) for _ in range(rows)]
        for _ in range(8):
            # Rows that end at different steps tell more.
            if rows == 1 or len({len(plain[pair]) for pair in asked}) > 1:
                break
            asked = [rng.choice(pairs) for _ in range(rows)]
        try:
            result = generator.run(lambda asked=asked: ask(asked), settings)
        except Undecided as reason:
            left_out[str(reason)] += 1
            grid.postpone(choices)
            continue
        grid.covered(choices)
        batch = ask(asked)
        written.append(
            {
                "settings": settings,
                "images": [image for image, _ in asked],
                "input_ids": batch["input_ids"].tolist(),
                "attention_mask": batch["attention_mask"].tolist(),
                **result,
            }
        )
    return written, left_out


class Ranker:
    """Ranks given answers as Salesforce's `rank_answer`, in the precision of `model`."""

    def __init__(self, model: Any, candidate_ids: list[list[int]]) -> None:
        self.model = model
        self.candidate_ids = candidate_ids
        self.bos: int = model.config.text_config.bos_token_id

    @torch.no_grad()
    def embed(self, pixels: Tensor, input_ids: Tensor) -> Tensor:
        """The text encoder's output [1, Lq, D] for an unpadded question [1, Lq]."""
        image = self.model.vision_model(pixels)[0]
        return self.model.text_encoder(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            encoder_hidden_states=image,
            encoder_attention_mask=torch.ones(image.shape[:2], dtype=torch.int64),
        )[0]

    @torch.no_grad()
    def first_token_log_probs(self, question: Tensor) -> Tensor:
        """Log-probability of each candidate's token 1 after the first token alone: [candidates]."""
        log_probs = self._decode([self.bos], question)[0].log_softmax(dim=-1)
        return log_probs[torch.tensor([ids[1] for ids in self.candidate_ids])]

    @torch.no_grad()
    def loss(self, candidate: int, question: Tensor, label_smoothing: float) -> float:
        """Cross entropy of a candidate, summed over all its tokens but the first. Candidates are run one by one, so
        that equal ones have equal losses.
        """
        ids = self.candidate_ids[candidate]
        return torch.nn.functional.cross_entropy(
            self._decode(ids, question)[:-1], torch.tensor(ids[1:]), label_smoothing=label_smoothing, reduction="sum"
        ).item()

    def _decode(self, ids: list[int], question: Tensor) -> Tensor:
        """Logits [len(ids), V]."""
        input_ids = torch.tensor([ids])
        return self.model.text_decoder(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            encoder_hidden_states=question,
            encoder_attention_mask=torch.ones(question.shape[:2], dtype=torch.int64),
        ).logits[0]

    def rank(self, question: Tensor, k: int, label_smoothing: float) -> dict[str, Any]:
        """One run as in rank.json, of a question's embeddings."""
        log_probs = self.first_token_log_probs(question)
        # torch.topk leaves open which of two equal ones comes first; a stable sort does not.
        kept = log_probs.sort(descending=True, stable=True).indices[:k].tolist()
        losses = [self.loss(candidate, question, label_smoothing) for candidate in kept]
        by_loss = sorted(range(len(kept)), key=losses.__getitem__)
        likelihoods = torch.tensor([-losses[index] for index in by_loss], dtype=torch.float64)
        return {
            "k": k,
            "label_smoothing": label_smoothing,
            "first_token_probs": log_probs.exp().tolist(),
            "kept": kept,
            "losses": losses,
            "order": [kept[index] for index in by_loss],
            "probabilities": likelihoods.softmax(dim=0).tolist(),
        }


def make_rank(model: Any, tokenizer: Any, pixels: list[Tensor], questions: list[str]) -> dict[str, Any]:
    """What rank.json holds, besides the versions."""
    candidate_ids = [tokenizer(text).input_ids for text in CANDIDATES]
    for ids in candidate_ids:
        ids[0] = model.config.text_config.bos_token_id
    single, double = (Ranker(each, candidate_ids) for each in (model, copy.deepcopy(model).double()))
    runs: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for image, picture in enumerate(pixels):
        for question, text in enumerate(questions[:3]):
            ids = tokenizer(text, return_tensors="pt").input_ids
            embeds = single.embed(picture, ids), double.embed(picture.double(), ids)
            for k in (3, 8, 128):
                for label_smoothing in (0.0, 0.1):
                    run, other = (
                        ranker.rank(embed, k, label_smoothing)
                        for ranker, embed in zip((single, double), embeds, strict=True)
                    )
                    if run["kept"] != other["kept"] or run["order"] != other["order"] or close(other, candidate_ids):
                        left_out["too close to call"] += 1
                        continue
                    runs.append({"image": image, "question": question, "input_ids": ids[0].tolist(), **run})
    return {"candidates": CANDIDATES, "candidate_ids": candidate_ids, "left_out": left_out, "runs": runs}


def close(run: dict[str, Any], candidate_ids: list[list[int]]) -> bool:
    """Whether two different candidates are so close that float32 may order them either way."""
    kept = zip(run["losses"], run["kept"], strict=True)
    probs = sorted({(prob, ids[1]) for prob, ids in zip(run["first_token_probs"], candidate_ids, strict=True)})
    losses = sorted({(loss, tuple(candidate_ids[index])) for loss, index in kept})
    return any(high[0] / low[0] < 1 + 2e-5 for low, high in zip(probs, probs[1:], strict=False)) or any(
        high[0] - low[0] < 5e-5 for low, high in zip(losses, losses[1:], strict=False)
    )


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description="Write what transformers generates with many settings, and rankings.")
    parser.add_argument("model", metavar="MODEL", help="Hugging Face id or directory")
    parser.add_argument("out", metavar="OUT", type=Path, help="directory to write to")
    parser.add_argument("--images", metavar="FILE", type=Path, nargs="+", required=True)
    parser.add_argument("--questions", metavar="TEXT", nargs="+", required=True)
    parser.add_argument("--runs", metavar="N", type=int, default=150, help="at least so many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(1)  # faster for models as small as those of the tests
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model = load(options.model, BlipForQuestionAnswering)
        tokenizer = AutoTokenizer.from_pretrained(options.model)
        processor = image_processor(options.model)
        pixels = [processor(read_image(path), return_tensors="pt").pixel_values for path in options.images]
        runs, left_out = make_generations(model, tokenizer, pixels, options.questions, options.runs, options.seed)
        rank = make_rank(model, tokenizer, pixels, options.questions)
    except (OSError, ValueError, Undecided) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    about = {"versions": versions(), "questions": options.questions, "images": [path.name for path in options.images]}
    write_json(options.out / "generations.json", {**about, "left_out": left_out, "runs": runs})
    write_json(options.out / "rank.json", {**about, **rank})
    print(
        f"{options.out}: {len(runs)} runs by transformers {transformers.__version__}, left out {dict(left_out)}; "
        f"{len(rank['runs'])} rankings, left out {dict(rank['left_out'])}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
