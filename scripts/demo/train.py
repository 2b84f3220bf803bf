"""Trains the demo model: transformers' own BlipForQuestionAnswering, small, on scenes of coloured shapes::

    python scripts/demo/train.py OUT
    cp OUT/checkpoint/* demo/model
    python scripts/compile/trace.py demo/model test/fixtures/compiled --target cpu --question-length 16 --answer-length 10

OUT/checkpoint holds the newest model as transformers' `save_pretrained` writes it (with tokenizer and processor files),
OUT/state.pt what is needed to go on, OUT/log.jsonl the curve. Running the same command again resumes. The learning rate
warms up, stays, and decays to zero over the last steps; `touch OUT/finish` begins the decay at once.

The committed model is what the defaults made of one run from scratch, in three quarters of an hour on two shared cores.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scenes import COLORS, GRID, KINDS, SHAPES, Question, Scene, ask, render, scene_from_seed
from tokenizer import PAD, SEP, build_tokenizer, write_tokenizer
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import BlipConfig, BlipForQuestionAnswering

sys.path.append(str(Path(__file__).resolve().parents[1] / "compile"))
from neuron_blip_compile.wrappers import cross_attention_masks  # noqa: E402

IMAGE_SIZE = 96
PATCH_SIZE = 16
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HELD_OUT_SEED = 1 << 39
"""Seed of the first scene that only the accuracy log looks at."""

SEEDS_OF_PROCESS = 1 << 34
"""Distance between the first scene seeds of two training processes."""

HELD_OUT_SCENES = 60
KIND_WEIGHTS = {"color": 9, "shape": 9, "count": 20, "presence": 12, "description": 50}


def demo_config(tokenizer: Tokenizer) -> BlipConfig:
    """Configuration of the demo model, about 2.4 million parameters."""
    begin = tokenizer.token_to_id("[DEC]")
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 128,
        "intermediate_size": 384,
        "projection_dim": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "bos_token_id": begin,
        "eos_token_id": SEP,
        "sep_token_id": SEP,
        "pad_token_id": PAD,
    }
    vision = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "projection_dim": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        # The default of 1e-10 leaves a new model blind to the picture.
        "initializer_range": 0.02,
    }
    return BlipConfig(text_config=text, vision_config=vision, projection_dim=128, image_text_hidden_size=128)


def keep_memory() -> None:
    """Asks glibc to keep freed memory: giving it back and faulting it in again can take most of a step's time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mmap_threshold, trim_threshold = -3, -1
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


class ScenePool:
    """Rendered training scenes, of which the oldest are replaced by fresh ones step by step."""

    def __init__(self, size: int, first_seed: int) -> None:
        self.scenes: list[Scene] = []
        self.pixels = np.empty((size, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        self.next_seed = first_seed
        self.oldest = 0
        for index in range(size):
            self.scenes.append(self._draw(index))

    def _draw(self, index: int) -> Scene:
        scene = scene_from_seed(self.next_seed)
        self.next_seed += 1
        self.pixels[index] = np.asarray(render(scene, IMAGE_SIZE))
        return scene

    def refresh(self, count: int) -> None:
        """Replaces the `count` oldest scenes."""
        for _ in range(count):
            self.scenes[self.oldest] = self._draw(self.oldest)
            self.oldest = (self.oldest + 1) % len(self.scenes)


def to_pixel_values(pixels: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
    """Normalises u8 pictures [B, H, W, 3] to pixel values [B, 3, H, W]; with `rng` adds brightness and noise."""
    values = pixels.astype(np.float32)
    if rng is not None:
        batch = len(values)
        values *= rng.uniform(0.94, 1.04, (batch, 1, 1, 1)).astype(np.float32)
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        values += noise * rng.uniform(0, 4, (batch, 1, 1, 1)).astype(np.float32)
        values = values.clip(0, 255)
    values = (values / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


class TextBatcher:
    """Turns questions and answers into padded batches, remembering what it has tokenized."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.begin = tokenizer.token_to_id("[DEC]")
        self.known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Ids of a text with [CLS] and [SEP]."""
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text).ids
        return self.known[text]

    def __call__(self, questions: list[Question]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Question ids and mask [N, Lq]; decoder inputs and targets [N, La] (targets -100 where padded)."""
        asked = [self.ids(q.question) for q in questions]
        answers = [self.ids(q.answer)[1:] for q in questions]
        question_length = max(map(len, asked))
        answer_length = max(map(len, answers))
        ids = torch.tensor([row + [PAD] * (question_length - len(row)) for row in asked])
        decoder_input = [[self.begin, *row[:-1]] + [PAD] * (answer_length - len(row)) for row in answers]
        target = [row + [-100] * (answer_length - len(row)) for row in answers]
        return ids, (ids != PAD).long(), torch.tensor(decoder_input), torch.tensor(target)


CELLS = GRID * GRID
MOST_THINGS = 4
CELL_CLASSES = (1 + len(COLORS), 1 + len(SHAPES), CELLS)
"""Colours and shapes (0 is an empty cell), and which cell it is."""


def cell_targets(scenes: list[Scene]) -> tuple[torch.Tensor, ...]:
    """Class of every cell by each of `CELL_CLASSES`, all [B, CELLS]."""
    color = torch.zeros(len(scenes), CELLS, dtype=torch.long)
    shape = torch.zeros_like(color)
    for row, scene in enumerate(scenes):
        for thing in scene.things:
            color[row, thing.cell] = 1 + list(COLORS).index(thing.color)
            shape[row, thing.cell] = 1 + SHAPES.index(thing.shape)
    return color, shape, torch.arange(CELLS).expand(len(scenes), CELLS)


class TrainingAids(nn.Module):
    """Auxiliary tasks that are thrown away afterwards. They make the model learn in minutes.

    Every image token shall tell the colour, the shape and the place of its cell; the question's [CLS], before the text
    encoder's last layer, which cells the question is about, and after it, how many.
    """

    def __init__(self, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(vision_width, sum(CELL_CLASSES))
        self.pointer = nn.Linear(text_width, CELLS)
        self.counter = nn.Linear(text_width, 1 + MOST_THINGS)

    def image_loss(self, image_embeds: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
        """Cross-entropy of the image tokens [B, 1 + P * P, D], summed over the three properties."""
        side = IMAGE_SIZE // PATCH_SIZE
        patch_cell = torch.arange(CELLS).view(GRID, GRID).repeat_interleave(side // GRID, 0)
        patch_cell = patch_cell.repeat_interleave(side // GRID, 1).flatten()
        loss = torch.zeros(())
        logits = self.linear(image_embeds[:, 1:]).split(CELL_CLASSES, dim=-1)
        for given, wanted in zip(logits, cell_targets(scenes), strict=True):
            loss = loss + functional.cross_entropy(given.flatten(0, 1), wanted[:, patch_cell].flatten())
        return loss

    def question_loss(
        self, hidden_state: torch.Tensor, question_embeds: torch.Tensor, questions: list[Question]
    ) -> torch.Tensor:
        """Loss of [CLS], the first of the question's tokens, before and after the last layer (both [N, Lq, D]).

        Binary cross-entropy of the cells pointed at, and a tenth of the cross-entropy of their number.
        """
        wanted = torch.zeros(len(questions), CELLS)
        for row, question in enumerate(questions):
            wanted[row, list(question.cells)] = 1
        loss = functional.binary_cross_entropy_with_logits(self.pointer(hidden_state[:, 0]), wanted)
        return loss + 0.1 * functional.cross_entropy(self.counter(question_embeds[:, 0]), wanted.sum(1).long())


class SharedLinear(nn.Module):
    """Stands in for a projection of image tokens while training: projects each scene once for all its questions."""

    def __init__(self, linear: nn.Linear, questions: int) -> None:
        super().__init__()
        # In a tuple, so that the parameters are not registered a second time.
        self.linear = (linear,)
        self.questions = questions

    def forward(self, image_embeds: torch.Tensor) -> torch.Tensor:
        """Image tokens, repeated for each question, [scenes * questions, S, D] -> projection of the same shape."""
        return self.linear[0](image_embeds[:: self.questions]).repeat_interleave(self.questions, 0)


@contextmanager
def shared_projections(model: BlipForQuestionAnswering, questions: int) -> Iterator[None]:
    """Makes the text encoder's key and value projections of the picture `SharedLinear` for a while."""
    attentions = [layer.crossattention.self for layer in model.text_encoder.encoder.layer]
    originals = [(attention, name, getattr(attention, name)) for attention in attentions for name in ("key", "value")]
    try:
        for attention, name, linear in originals:
            setattr(attention, name, SharedLinear(linear, questions))
        yield
    finally:
        for attention, name, linear in originals:
            setattr(attention, name, linear)


def answer_loss(
    model: BlipForQuestionAnswering, image_embeds: torch.Tensor, questions_of_each: int, batch: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Teacher-forced cross-entropy per token, whether every token of an answer was right [N], and question_embeds.

    `image_embeds` [B, S, D] are the scenes', `batch` the `TextBatcher`'s for N = B * `questions_of_each` questions. The
    decoder sees the question's real mask, so padding changes no answer.
    """
    input_ids, attention_mask, decoder_input_ids, target = batch
    repeated = image_embeds.repeat_interleave(questions_of_each, 0)
    with shared_projections(model, questions_of_each):
        question_embeds = model.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=repeated,
            encoder_attention_mask=torch.ones(repeated.shape[:2], dtype=torch.long),
        ).last_hidden_state
    lengths = (target != -100).sum(1)
    loss = torch.zeros(())
    right = torch.zeros(len(target), dtype=torch.bool)
    # Most answers are one word: they go separately from the descriptions, to spare padding.
    for rows in ((lengths <= 2).nonzero()[:, 0], (lengths > 2).nonzero()[:, 0]):
        if len(rows) == 0:
            continue
        length = int(lengths[rows].max())
        wanted = target[rows, :length]
        # transformers alone would let the decoder see the padding, and it would learn to lean on it.
        with cross_attention_masks():
            logits = model.text_decoder(
                input_ids=decoder_input_ids[rows, :length],
                encoder_hidden_states=question_embeds[rows],
                encoder_attention_mask=attention_mask[rows],
                use_cache=False,
            ).logits
        loss = loss + functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum"
        )
        right[rows] = ((logits.argmax(-1) == wanted) | (wanted == -100)).all(-1)
    return loss / lengths.sum(), right, question_embeds


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Warm-up, constant, then a cosine over the last `decay` steps."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    left = options.steps - step
    if left >= options.decay:
        return options.lr
    return options.lr * 0.5 * (1 - float(np.cos(np.pi * left / options.decay)))


@torch.no_grad()
def accuracy(model: BlipForQuestionAnswering, tokenizer: Tokenizer, scenes: int) -> dict[str, float]:
    """Share of right answers by kind on held-out scenes, by transformers' own `generate`."""
    model.eval()
    rng = random.Random("held out")
    right: dict[str, list[bool]] = defaultdict(list)
    # Questions of one length at a time: `generate` has the decoder look at padding.
    groups: dict[int, list[tuple[np.ndarray, Question, list[int]]]] = defaultdict(list)
    for index in range(scenes):
        scene = scene_from_seed(HELD_OUT_SEED + index)
        pixels = np.asarray(render(scene, IMAGE_SIZE))
        for kind in KINDS:
            question = ask(scene, rng, kind)
            ids = tokenizer.encode(question.question).ids
            groups[len(ids)].append((pixels, question, ids))
    for group in groups.values():
        sequences = model.generate(
            pixel_values=to_pixel_values(np.stack([entry[0] for entry in group])),
            input_ids=torch.tensor([entry[2] for entry in group]),
            attention_mask=torch.ones(len(group), len(group[0][2]), dtype=torch.long),
            max_new_tokens=9,
            do_sample=False,
        )
        for row, (_, question, _) in zip(sequences.tolist(), group, strict=True):
            right[question.kind].append(tokenizer.decode(row) == question.answer)
    model.train()
    shares = {kind: round(float(np.mean(right[kind])), 4) for kind in KINDS}
    return {"all": round(float(np.mean(sum(right.values(), []))), 4), **shares}


def save_model(model: BlipForQuestionAnswering, directory: Path) -> None:
    """Writes model, tokenizer, image processor and generation settings as one Hugging Face directory."""
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    write_tokenizer(directory)
    processor = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(MEAN),
        "image_processor_type": "BlipImageProcessor",
        "image_std": list(STD),
        "processor_class": "BlipProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    text = model.config.text_config
    generation = {
        "_from_model_config": True,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.sep_token_id,
        "pad_token_id": text.pad_token_id,
    }
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Averages the gradients of all processes."""
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()


def main() -> None:
    """Trains until `--steps`."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("out", type=Path, help="directory for checkpoint, state and log")
    parser.add_argument("--steps", type=int, default=5200, help="optimiser steps in all")
    parser.add_argument("--scenes", type=int, default=20, help="scenes of a step")
    parser.add_argument("--questions", type=int, default=6, help="questions for each scene of a step")
    parser.add_argument("--lr", type=float, default=8e-4, help="highest learning rate")
    parser.add_argument("--warmup", type=int, default=300, help="steps of rising learning rate")
    parser.add_argument("--decay", type=int, default=1000, help="last steps, of falling learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--auxiliary", type=float, default=0.3, help="weight of the auxiliary loss on image tokens")
    parser.add_argument("--pointing", type=float, default=2.0, help="weight of the auxiliary loss on questions")
    parser.add_argument("--pool", type=int, default=2000, help="rendered scenes kept")
    parser.add_argument("--fresh", type=int, default=20, help="scenes of the pool replaced at each step")
    parser.add_argument("--evaluate-every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="processes that share a step's scenes")
    options = parser.parse_args()
    if options.scenes % options.processes or options.fresh % options.processes or options.pool % options.processes:
        parser.error("--scenes, --fresh and --pool must be multiples of --processes")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rendezvous").unlink(missing_ok=True)
    mp.spawn(train, (options,), options.processes)


def train(rank: int, options: argparse.Namespace) -> None:
    """One process of the training.

    Processes of one thread each, which meet once a step, lose far less time on a busy machine than threads, which meet
    in every operation.
    """
    keep_memory()
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{(options.out / 'rendezvous').resolve()}",
        rank=rank,
        world_size=options.processes,
    )
    chief = rank == 0
    # Every process begins with the same weights.
    torch.manual_seed(options.seed)

    tokenizer = build_tokenizer()
    batcher = TextBatcher(tokenizer)
    model = BlipForQuestionAnswering(demo_config(tokenizer))
    # Beside a bright background, position embeddings as faint as the default's take thousands of steps to show.
    nn.init.normal_(model.vision_model.embeddings.position_embedding, std=0.4)
    model.train()
    aids = TrainingAids(model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
    seen: list[torch.Tensor] = []
    model.text_encoder.encoder.layer[-2].register_forward_hook(
        lambda _module, _inputs, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    parameters = [*model.parameters(), *aids.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=options.lr,
        betas=(0.9, 0.98),
    )
    step = 0
    state_file = options.out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        aids.load_state_dict(state["aids"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    if chief:
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}", flush=True)
    share = {name: getattr(options, name) // options.processes for name in ("scenes", "fresh", "pool")}
    pool = ScenePool(share["pool"], first_seed=rank * SEEDS_OF_PROCESS + step * share["fresh"])
    rng = random.Random(f"{options.seed} {step} {rank}")
    noise = np.random.default_rng([options.seed, step, rank])
    kinds, weights = list(KIND_WEIGHTS), list(KIND_WEIGHTS.values())
    totals: dict[str, float] = defaultdict(float)
    begun = time.monotonic()
    log = (options.out / "log.jsonl").open("a")

    while step < options.steps:
        if step % 10 == 0:
            finish = torch.tensor(int(chief and (options.out / "finish").exists()))
            dist.broadcast(finish, 0)
            if finish:
                options.steps = min(options.steps, step + options.decay)
                if chief:
                    (options.out / "finish").unlink()
        pool.refresh(share["fresh"])
        chosen = rng.sample(range(share["pool"]), share["scenes"])
        scenes = [pool.scenes[index] for index in chosen]
        questions = [
            ask(scene, rng, kind) for scene in scenes for kind in rng.choices(kinds, weights, k=options.questions)
        ]
        image_embeds = model.vision_model(to_pixel_values(pool.pixels[chosen], noise)).last_hidden_state
        loss, right, question_embeds = answer_loss(model, image_embeds, options.questions, batcher(questions))
        pointing = aids.question_loss(seen.pop(), question_embeds, questions)
        auxiliary = aids.image_loss(image_embeds, scenes)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        optimizer.zero_grad(set_to_none=True)
        (loss + options.auxiliary * auxiliary + options.pointing * pointing).backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1

        with torch.no_grad():
            totals["steps"] += 1
            totals["loss"] += loss.item()
            totals["auxiliary"] += auxiliary.item()
            totals["pointing"] += pointing.item()
            for question, hit in zip(questions, right.tolist(), strict=True):
                totals[f"{question.kind} right"] += hit
                totals[f"{question.kind} asked"] += 1
        if chief and step % 50 == 0:
            record: dict[str, object] = {"step": step, "seconds": round(time.monotonic() - begun, 1)}
            record |= {name: round(totals[name] / totals["steps"], 4) for name in ("loss", "auxiliary", "pointing")}
            record |= {k: round(totals[f"{k} right"] / max(1, totals[f"{k} asked"]), 3) for k in KINDS}
            totals.clear()
            print(json.dumps(record), flush=True)
            log.write(json.dumps(record) + "\n")
        if chief and (step % options.evaluate_every == 0 or step == options.steps):
            record = {"step": step, "held_out": accuracy(model, tokenizer, HELD_OUT_SCENES)}
            seen.clear()
            print(json.dumps(record), flush=True)
            log.write(json.dumps(record) + "\n")
            log.flush()
            save_model(model, options.out / "checkpoint")
            state = {"model": model.state_dict(), "aids": aids.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step}, options.out / "state.tmp")
            (options.out / "state.tmp").rename(state_file)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
