"""Scenes of coloured shapes, with questions and answers about them.

A scene holds one to four shapes on a jittered 3x3 grid over a light, slightly uneven background. Everything is a
function of a seed: `scene_from_seed(seed)` always gives the same scene. Seeds below `FIRST_EVALUATION_SEED` belong to
training, the others to evaluation, so that the two never share a picture.

As a program it writes pictures and their questions::

    python scripts/demo/scenes.py OUT --count 200 --seed 1 [--size 96] [--questions 5]
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

GRID = 3
"""Cells along each side of a scene."""

CANVAS = 384
"""Side of the drawing in pixels, before it is made smaller."""

FIRST_EVALUATION_SEED = 1 << 40
"""Scene seeds from here on are kept for evaluation."""

EVALUATION_SEED_STRIDE = 1 << 20
"""Distance between the first scene seeds of two runs of the command line, that is the most scenes of one run."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "green": (38, 150, 62),
    "blue": (40, 84, 214),
    "yellow": (242, 206, 40),
    "purple": (146, 58, 182),
    "black": (32, 32, 36),
}

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star")

PLACES: tuple[str, ...] = (
    "top left", "top middle", "top right",
    "middle left", "middle", "middle right",
    "bottom left", "bottom middle", "bottom right",
)  # fmt: skip
"""Names of the cells, row by row."""

KINDS: tuple[str, ...] = ("color", "shape", "count", "presence", "description")


@dataclass(frozen=True)
class Thing:
    """One shape of a scene. Lengths are in pixels of the `CANVAS`, angles in degrees."""

    cell: int
    color: str
    shape: str
    rgb: tuple[int, int, int]
    x: float
    y: float
    radius: float
    angle: float

    @property
    def name(self) -> str:
        """Colour and shape, as in "red circle"."""
        return f"{self.color} {self.shape}"

    @property
    def column(self) -> int:
        """Column of the grid, from the left."""
        return self.cell % GRID


@dataclass(frozen=True)
class Scene:
    """Shapes ordered by cell, and the 4x4 colours that the background is interpolated from, row by row."""

    things: tuple[Thing, ...]
    background: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Question:
    """A question about one scene with its only right answer, and the cells of the shapes it is about."""

    kind: str
    question: str
    answer: str
    cells: tuple[int, ...]


def _nearby(rgb: tuple[int, int, int], most: int, rng: random.Random) -> tuple[int, int, int]:
    """A colour that differs from `rgb` by up to `most` in each channel."""
    red, green, blue = (min(255, max(0, value + rng.randint(-most, most))) for value in rgb)
    return red, green, blue


def scene_from_seed(seed: int) -> Scene:
    """Draws up the scene that belongs to `seed`."""
    rng = random.Random(f"scene {seed}")
    count = rng.choices((1, 2, 3, 4), weights=(20, 28, 26, 26))[0]
    # Fewer colours or shapes to choose from make repetitions, which counting questions need.
    colors = list(COLORS) if rng.random() < 0.65 else rng.sample(list(COLORS), 2)
    shapes = list(SHAPES) if rng.random() < 0.5 else rng.sample(SHAPES, rng.choice((1, 2, 2)))
    things = []
    for cell in sorted(rng.sample(range(GRID * GRID), count)):
        color = rng.choice(colors)
        radius = rng.uniform(38, 52)
        # Keeps the whole shape inside its cell.
        slack = CANVAS / GRID / 2 - radius - 2
        row, column = divmod(cell, GRID)
        things.append(
            Thing(
                cell=cell,
                color=color,
                shape=rng.choice(shapes),
                rgb=_nearby(COLORS[color], 14, rng),
                x=(column + 0.5) * CANVAS / GRID + rng.uniform(-slack, slack),
                y=(row + 0.5) * CANVAS / GRID + rng.uniform(-slack, slack),
                radius=radius,
                angle=rng.uniform(-14, 14),
            )
        )
    base = (rng.randint(222, 250), rng.randint(222, 250), rng.randint(222, 250))
    return Scene(tuple(things), tuple(_nearby(base, 9, rng) for _ in range(16)))


def _polygon(
    points: int, thing: Thing, scale: float, radii: tuple[float, ...], turn: float
) -> list[tuple[float, float]]:
    """Corners of a shape around its centre; `radii` are used in turn, `turn` is the first corner's angle."""
    corners = []
    for index in range(points):
        angle = math.radians(turn + thing.angle + 360 * index / points)
        length = thing.radius * radii[index % len(radii)]
        corners.append(((thing.x + length * math.sin(angle)) * scale, (thing.y - length * math.cos(angle)) * scale))
    return corners


def render(scene: Scene, size: int = 96, supersample: int = 1) -> Image.Image:
    """Draws a scene as an RGB picture of `size` x `size` pixels.

    It is drawn at `supersample` times the `CANVAS` and then resized (bicubic).
    """
    scale = float(supersample)
    side = CANVAS * supersample
    corners = Image.new("RGB", (4, 4))
    corners.putdata(list(scene.background))
    picture = corners.resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for thing in scene.things:
        if thing.shape == "circle":
            radius = thing.radius * 0.94
            box = [thing.x - radius, thing.y - radius, thing.x + radius, thing.y + radius]
            draw.ellipse([value * scale for value in box], fill=thing.rgb)
        elif thing.shape == "square":
            draw.polygon(_polygon(4, thing, scale, (1.12,), 45), fill=thing.rgb)
        elif thing.shape == "triangle":
            draw.polygon(_polygon(3, thing, scale, (1.08,), 0), fill=thing.rgb)
        else:
            draw.polygon(_polygon(10, thing, scale, (1.1, 0.48), 0), fill=thing.rgb)
    return picture if side == size else picture.resize((size, size), Image.Resampling.BICUBIC)


def _ask_color(scene: Scene, rng: random.Random) -> Question | None:
    if rng.random() < 0.3:
        thing = rng.choice(scene.things)
        place = PLACES[thing.cell]
        text = rng.choice((f"what color is the shape in the {place}?", f"what color is in the {place}?"))
        return Question("color", text, thing.color, (thing.cell,))
    single = [t for t in scene.things if sum(o.shape == t.shape for o in scene.things) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    text = rng.choice(
        (
            f"what color is the {thing.shape}?",
            f"what is the color of the {thing.shape}?",
            f"which color does the {thing.shape} have?",
            f"what colour is the {thing.shape}?",
        )
    )
    return Question("color", text, thing.color, (thing.cell,))


def _ask_shape(scene: Scene, rng: random.Random) -> Question | None:
    if rng.random() < 0.3:
        thing = rng.choice(scene.things)
        place = PLACES[thing.cell]
        text = rng.choice((f"what shape is in the {place}?", f"which shape is in the {place}?"))
        return Question("shape", text, thing.shape, (thing.cell,))
    single = [t for t in scene.things if sum(o.color == t.color for o in scene.things) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    text = rng.choice(
        (
            f"what shape is {thing.color}?",
            f"which shape is {thing.color}?",
            f"what is the {thing.color} shape?",
            f"what shape is the {thing.color} thing?",
            f"what shape is the {thing.color} object?",
        )
    )
    return Question("shape", text, thing.shape, (thing.cell,))


def _count(text: str, things: Sequence[Thing]) -> Question:
    return Question("count", text, str(len(things)), tuple(thing.cell for thing in things))


def _ask_count(scene: Scene, rng: random.Random) -> Question:
    draw = rng.random()
    present = rng.random() < 0.85
    if draw < 0.25:
        text = rng.choice(
            (
                "how many shapes are there?",
                "how many shapes are in the picture?",
                "how many objects are there?",
                "how many things do you see?",
            )
        )
        return _count(text, scene.things)
    if draw < 0.65:
        shape = rng.choice(scene.things).shape if present else rng.choice(SHAPES)
        text = rng.choice(
            (
                f"how many {shape}s are there?",
                f"how many {shape}s are in the picture?",
                f"how many {shape}s do you see?",
            )
        )
        return _count(text, [t for t in scene.things if t.shape == shape])
    color = rng.choice(scene.things).color if present else rng.choice(list(COLORS))
    text = rng.choice(
        (
            f"how many {color} shapes are there?",
            f"how many shapes are {color}?",
            f"how many {color} things are in the picture?",
            f"how many {color} objects do you see?",
        )
    )
    return _count(text, [t for t in scene.things if t.color == color])


def _ask_presence(scene: Scene, rng: random.Random) -> Question | None:
    wanted = rng.random() < 0.5
    draw = rng.random()
    if draw < 0.2:
        present = {t.shape for t in scene.things}
        choices = [s for s in SHAPES if (s in present) == wanted]
        noun = "a {}"
    elif draw < 0.4:
        present = {t.color for t in scene.things}
        choices = [c for c in COLORS if (c in present) == wanted]
        noun = rng.choice(("anything {}", "a {} shape"))
    else:
        present = {t.name for t in scene.things}
        names = [f"{c} {s}" for c in COLORS for s in SHAPES]
        choices = [n for n in names if (n in present) == wanted]
        if not wanted and rng.random() < 0.6:
            # Hard ones: the colour is there, or the shape, or both, but not together.
            colors = {t.color for t in scene.things}
            shapes = {t.shape for t in scene.things}
            near = [n for n in choices if n.split()[0] in colors and n.split()[1] in shapes]
            half = [n for n in choices if n.split()[0] in colors or n.split()[1] in shapes]
            choices = near or half or choices
        noun = "a {}"
    if not choices:
        return None
    chosen = rng.choice(choices)
    subject = noun.format(chosen)
    cells = tuple(thing.cell for thing in scene.things if chosen in (thing.color, thing.shape, thing.name))
    text = rng.choice(
        (
            f"is there {subject}?",
            f"is there {subject} in the picture?",
            f"do you see {subject}?",
            f"does the picture show {subject}?",
        )
    )
    return Question("presence", text, "yes" if wanted else "no", cells)


def _ask_description(scene: Scene, rng: random.Random) -> Question | None:
    whole = rng.choice(
        (
            "what is in the picture?",
            "what does the picture show?",
            "what do you see?",
            "what can you see in the picture?",
        )
    )
    things = scene.things
    if len(things) == 1 and rng.random() < 0.7:
        return Question("description", whole, f"a {things[0].name}", (things[0].cell,))
    if len(things) == 2 and things[0].column != things[1].column and rng.random() < 0.8:
        left, right = sorted(things, key=lambda thing: thing.column)
        return Question("description", whole, f"a {left.name} and a {right.name}", (left.cell, right.cell))
    thing = rng.choice(things)
    place = PLACES[thing.cell]
    text = rng.choice(
        (f"what is in the {place}?", f"what do you see in the {place}?", f"what is in the {place} of the picture?")
    )
    return Question("description", text, f"a {thing.name}", (thing.cell,))


_ASK = {
    "color": _ask_color,
    "shape": _ask_shape,
    "count": _ask_count,
    "presence": _ask_presence,
    "description": _ask_description,
}


def ask(scene: Scene, rng: random.Random, kind: str) -> Question:
    """Asks a question of `kind` whose answer is certain from the picture.

    Where the scene allows no such question (two circles, and no shape that is there once), it asks one about a place.
    """
    for _ in range(64):
        question = _ASK[kind](scene, rng)
        if question is not None:
            return question
    raise ValueError(f"no question of kind {kind!r} fits the scene")


def questions_of(scene: Scene, rng: random.Random, count: int) -> list[Question]:
    """Asks up to `count` different questions, going through all kinds in turn."""
    kinds = rng.sample(KINDS, len(KINDS))
    asked: dict[str, Question] = {}
    for index in range(count * 4):
        if len(asked) == count:
            break
        question = ask(scene, rng, kinds[index % len(kinds)])
        asked.setdefault(question.question, question)
    return list(asked.values())


def main() -> None:
    """Writes pictures and questions.json into a directory."""
    parser = argparse.ArgumentParser(description="Draw scenes of coloured shapes with questions and answers.")
    parser.add_argument("out", type=Path, help="directory to write to")
    parser.add_argument("--count", type=int, default=200, help="number of scenes (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="evaluation seed, 0 or more (default: 1)")
    parser.add_argument("--size", type=int, default=96, help="side of the pictures in pixels (default: 96)")
    parser.add_argument("--questions", type=int, default=5, help="questions for each scene (default: 5)")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed must be 0 or more, not {options.seed}")
    if not 1 <= options.count <= EVALUATION_SEED_STRIDE:
        parser.error(f"--count must be between 1 and {EVALUATION_SEED_STRIDE}, not {options.count}")
    options.out.mkdir(parents=True, exist_ok=True)
    first = FIRST_EVALUATION_SEED + options.seed * EVALUATION_SEED_STRIDE
    records = []
    for index in range(options.count):
        scene = scene_from_seed(first + index)
        name = f"scene-{index:05d}.png"
        render(scene, options.size, supersample=2 if options.size >= CANVAS else 1).save(options.out / name)
        rng = random.Random(f"questions {first + index}")
        for question in questions_of(scene, rng, options.questions):
            records.append(
                {"picture": name, "kind": question.kind, "question": question.question, "answer": question.answer}
            )
    (options.out / "questions.json").write_text(json.dumps(records, indent=1) + "\n")
    print(f"{options.count} scenes, {len(records)} questions: {options.out}")


if __name__ == "__main__":
    main()
