"""Answers, live, what transformers makes of pictures and texts: one JSON object a line on standard input and output.

    python scripts/parity/oracle.py

Commands, by their "command"; other keys are the arguments of the method of Oracle of that name:
  make      writes a random checkpoint: see make_checkpoint; "threads" is how many this and what follows use
  load      loads one, in float32 with eager attention; the next commands ask it
  draw      settings of generation, as generation_reference.py draws them
  generate, judge, refilter, rank, match, embed
Each is answered by {"result": …}, or by {"refused": why} where transformers raises ValueError.
"""

from __future__ import annotations

import json
import os
import random
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import transformers
from checkpoints import make_checkpoint, remember_pictures
from generation_reference import NO_SCORE, Grid, Ranker, Settings, load, nine_digits, results_of
from make_fixtures import HEADS
from neuron_blip_compile.source import image_processor
from parity_reference import read_image
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer


class Draws:
    """Stands for torch.multinomial: draws by given numbers from 0 to 1, [rows][steps], from the tokens in order."""

    def __init__(self, uniforms: list[list[float]]) -> None:
        self.uniforms = torch.tensor(uniforms, dtype=torch.float64)
        self.sums: list[Tensor] = []  # of the probabilities up to each token, float64 [rows, V], by step

    def __call__(self, probabilities: Tensor, num_samples: int) -> Tensor:
        sums = probabilities.double().cumsum(-1)
        sums = sums / sums[:, -1:]
        drawn = (sums > self.uniforms[:, len(self.sums), None]).int().argmax(-1, keepdim=True)
        self.sums.append(sums)
        assert num_samples == 1
        return drawn

    def gap(self, row: int, step: int, token: int) -> float:
        """How far the row's number is from what would have drawn `token`."""
        sums, uniform = self.sums[step][row], self.uniforms[row, step]
        before = sums[token - 1] if token > 0 else 0.0
        if sums[token] - before <= 0:
            return 1.0
        return max(float(before - uniform), float(uniform - sums[token]), 0.0)


@dataclass
class Run:
    """One call of transformers' generate."""

    inputs: dict[str, Tensor]
    settings: Settings
    output: Any
    processors: Any
    draws: Draws | None


# Two scores so far apart, or nearer, may change places; by how many tries that is looked for.
EXCUSED_GAP = 1e-5
TRIES = 200


class Oracle:
    """One loaded model."""

    def __init__(self, directory: str, size: list[int] | None = None) -> None:
        """`size`: height and width of pictures where the position embeddings shall be interpolated."""
        architecture = AutoConfig.from_pretrained(directory).architectures[0]
        kind = next(head.model for head in HEADS.values() if head.model.__name__ == architecture)
        self.model = load(directory, kind)
        remember_pictures(self.model)
        self.answers = kind is HEADS["question_answering"].model
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.processor = image_processor(directory)
        self.sizes = {} if size is None else {"size": {"height": size[0], "width": size[1]}}
        self.interpolate = {} if size is None else {"interpolate_pos_encoding": True}
        self.pixels: dict[str, Tensor] = {}
        self.runs: list[Run] = []
        self.grid: Grid | None = None

    def generate(
        self,
        images: list[str],
        texts: list[str | None],
        settings: Settings,
        together: bool,
        uniforms: list[list[float]] | None = None,
        scores: str | None = None,
    ) -> dict[str, Any]:
        """Generates for rows of pictures and questions (captioning: prompts), padded to the longest where `together`, else
        each by itself. `uniforms`: what to sample by, for each returned sequence. `scores`: a file that gets the processed
        scores float32 [sequence][step, V], without those after the end.
        """
        count = settings.get("num_return_sequences", 1)
        groups = [list(range(len(images)))] if together else [[row] for row in range(len(images))]
        self.runs = []
        for rows in groups:
            inputs = self._inputs([images[row] for row in rows], [texts[row] for row in rows])
            draws = uniforms and Draws([uniforms[row * count + i] for row in rows for i in range(count)])
            self.runs.append(self._run(inputs, settings, draws or None))
        results = [results_of(self.model, run.output) for run in self.runs]
        merged = {
            name: None if results[0][name] is None else [each for result in results for each in result[name]]
            for name in ("sequences", "sequences_scores", "transition_scores")
        }
        merged["scored"] = all(
            score > NO_SCORE
            for result in results
            for score in [*(result["sequences_scores"] or []), *(one for row in result["transition_scores"] for one in row)]
        )
        if scores is not None:
            with Path(scores).open("wb") as file:
                for run, result in zip(self.runs, results, strict=True):
                    for row, transitions in enumerate(result["transition_scores"]):
                        for step in range(len(transitions)):
                            file.write(run.output.scores[step][row].numpy().tobytes())
        return merged

    def judge(self, sequence: int, own: list[int], theirs: list[int], own_score: float | None = None) -> float:
        """By how much transformers prefers its own tokens to `own`, of the sequence of that number in the last run: the two
        tokens' scores where they part; with beams the two sequences' scores; of draws the distance to the number drawn.
        """
        run, row = self._find(sequence)
        prompt = run.output.sequences.shape[1] - len(run.output.scores)
        if getattr(run.output, "beam_indices", None) is not None:
            return abs(self._score(run, row, own) - self._score(run, row, theirs))
        step = next((i for i, pair in enumerate(zip(own, theirs, strict=False)) if pair[0] != pair[1]), -1)
        if step < prompt:
            return float("inf")
        if run.draws is not None:
            return run.draws.gap(row, step - prompt, own[step])
        scores = run.output.scores[step - prompt][row]
        return float(scores[theirs[step]] - scores[own[step]])

    @torch.no_grad()
    def refilter(self, sequence: int, step: int, others: list[int]) -> bool:
        """Whether transformers' own filters rule out or leave `others`, tokens of a step of a drawn sequence, the other way, and
        no more, where no two of its scores move against each other by more than EXCUSED_GAP.
        """
        run, row = self._find(sequence)
        prompt = run.output.sequences.shape[1] - len(run.output.scores)
        prefix = run.output.sequences[row : row + 1, : prompt + step]
        logits = run.output.logits[step][row : row + 1].float()
        wanted = run.output.scores[step][row].isfinite()
        wanted[others] = ~wanted[others]
        generator = torch.Generator().manual_seed(0)
        for _ in range(TRIES):
            noise = EXCUSED_GAP * (torch.rand(logits.shape, generator=generator) - 0.5)
            if torch.equal(run.processors(prefix, logits + noise)[0].isfinite(), wanted):
                return True
        return False

    def draw(self, images: list[str], texts: list[str | None], seed: int) -> dict[str, Any]:
        """Settings of generation, and a number of rows; the first time `seed` and what the model says by itself count."""
        if self.grid is None:
            said = self.generate(images, texts, {"max_new_tokens": 19}, together=False)["sequences"]
            self.grid = Grid(random.Random(seed), said, self.model)
        settings, choices = self.grid.draw()
        self.grid.covered(choices)
        return {"rows": settings.pop("rows"), "settings": settings}

    @torch.no_grad()
    def rank(self, image: str, text: str, candidates: list[str], k: int, label_smoothing: float) -> dict[str, Any]:
        """Ranks answers as Salesforce's BLIP: see generation_reference.py."""
        ids = [self.tokenizer(candidate).input_ids for candidate in candidates]
        for each in ids:
            each[0] = self.model.config.text_config.bos_token_id
        ranker = Ranker(self.model, ids)
        question = self.tokenizer(text, return_tensors="pt").input_ids
        return {"candidate_ids": ids, **ranker.rank(ranker.embed(self._pixels(image), question), k, label_smoothing)}

    @torch.no_grad()
    def match(self, images: list[str], texts: list[str]) -> dict[str, Any]:
        """Of each picture and text, unpadded: the matching head's logits, and the cosine."""
        logits, cosines = [], []
        for image, text in zip(images, texts, strict=True):
            inputs = self._inputs([image], [text])
            logits.append(self.model(**inputs).itm_score[0].tolist())
            cosines.append(self.model(**inputs, use_itm_head=False).itm_score.item())
        return {"logits": logits, "cosines": cosines}

    @torch.no_grad()
    def embed(self, images: list[str], file: str) -> list[list[int]]:
        """What the vision model sees, written to `file` as float32 [1, S, D] one after the other; their shapes."""
        hidden = [
            self.model.vision_model(pixel_values=self._pixels(image), **self.interpolate).last_hidden_state
            for image in images
        ]
        Path(file).write_bytes(b"".join(each.numpy().tobytes() for each in hidden))
        return [list(each.shape) for each in hidden]

    def _pixels(self, path: str) -> Tensor:
        if path not in self.pixels:
            self.pixels[path] = self.processor(read_image(Path(path)), return_tensors="pt", **self.sizes).pixel_values
        return self.pixels[path]

    def _inputs(self, images: list[str], texts: list[str | None]) -> dict[str, Any]:
        pictures = {"pixel_values": torch.cat([self._pixels(image) for image in images]), **self.interpolate}
        if texts[0] is None:
            return pictures
        batch = self.tokenizer(
            texts, padding="longest", padding_side="right", return_token_type_ids=False, return_tensors="pt"
        )
        return {**pictures, "input_ids": batch.input_ids, "attention_mask": batch.attention_mask}

    @torch.no_grad()
    def _run(self, inputs: dict[str, Any], settings: Settings, draws: Draws | None) -> Run:
        kept: list[Any] = []
        decoder = self.model.text_decoder
        find_processors = decoder._get_logits_processor

        def find_and_keep(*args: Any, **kwargs: Any) -> Any:
            kept.append(find_processors(*args, **kwargs))
            return kept[-1]

        given = {"do_sample": draws is not None, **settings}
        # generate may write to what it is given.
        copied = {name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()}
        with warnings.catch_warnings(), patch.object(decoder, "_get_logits_processor", find_and_keep):
            warnings.simplefilter("ignore")
            with patch.object(torch, "multinomial", draws or torch.multinomial):
                output = self.model.generate(**copied, **given, return_dict_in_generate=True, output_scores=True, output_logits=True)
        return Run(inputs, settings, output, kept[-1], draws)

    def _find(self, sequence: int) -> tuple[Run, int]:
        for run in self.runs:
            if sequence < len(run.output.sequences):
                return run, sequence
            sequence -= len(run.output.sequences)
        raise IndexError(sequence)

    @torch.no_grad()
    def _score(self, run: Run, row: int, tokens: list[int]) -> float:
        """The score that beam search gives a whole sequence, all its tokens read at once."""
        count = run.settings.get("num_return_sequences", 1)
        pixels = run.inputs["pixel_values"][row // count : row // count + 1]
        encoded = self.model.vision_model(pixel_values=pixels, **self.interpolate).last_hidden_state
        if self.answers:
            ids, mask = (run.inputs[name][row // count : row // count + 1] for name in ("input_ids", "attention_mask"))
            encoded = self.model.text_encoder(
                input_ids=ids,
                attention_mask=mask,
                encoder_hidden_states=encoded,
                encoder_attention_mask=torch.ones(encoded.shape[:2], dtype=torch.int64),
            )[0]
        ids = torch.tensor([tokens])
        logits = self.model.text_decoder(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            encoder_hidden_states=encoded,
            encoder_attention_mask=torch.ones(encoded.shape[:2], dtype=torch.int64),
        ).logits
        prompt = run.output.sequences.shape[1] - len(run.output.scores)
        total = 0.0
        for step in range(prompt, len(tokens)):
            log_probs = logits[:, step - 1].log_softmax(-1)
            total += float(run.processors(ids[:, :step], log_probs)[0, tokens[step]])
        return total / (len(tokens) - prompt) ** run.settings.get("length_penalty", 1.0)


def main() -> None:
    """Answers until standard input ends."""
    # What others print does not belong among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    oracle: Oracle | None = None
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("command")
        try:
            if command == "make":
                torch.set_num_threads(request.pop("threads"))
                oracle = None
                result: Any = make_checkpoint(Path(request.pop("directory")), **request)
            elif command == "load":
                oracle = None
                oracle = Oracle(**request)
                result = {"transformers": transformers.__version__, "torch": str(torch.__version__)}
            else:
                result = getattr(oracle, command)(**request)
            answer = {"result": nine_digits(result)}
        except ValueError as error:
            answer = {"refused": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
