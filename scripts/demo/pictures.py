"""Draws the demo's pictures and writes their questions, with the right answers, into a directory::

    python scripts/demo/pictures.py demo

The scenes belong to evaluation seeds, so training has not seen them. They are drawn larger than the model looks at.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from scenes import CANVAS, FIRST_EVALUATION_SEED, KINDS, Question, Scene, ask, render, scene_from_seed

PICTURES: dict[str, tuple[int, tuple[str, ...]]] = {
    "yellow-star": (47, ("what is in the picture?", "is there a yellow circle?")),
    "purple-square": (55, ("what do you see?", "what color is the square?", "how many shapes are there?")),
    "square-and-circle": (10, ("what is in the picture?", "what shape is purple?", "is there a blue circle?")),
    "two-stars": (51, ("what does the picture show?", "how many stars are there?", "is there anything green?")),
    "three-shapes": (20, ("what color is the triangle?", "what shape is red?", "what is in the top left?")),
    "circles-below": (13, ("how many circles are there?", "what color is the star?", "is there a black circle?")),
    "four-stars": (3, ("how many stars do you see?", "what color is in the middle?", "is there a red star?")),
    "green-twins": (0, ("how many green shapes are there?", "what is in the top right?", "is there a square?")),
    "four-corners": (
        27,
        ("how many squares are there?", "what is in the bottom right?", "is there a black square in the picture?"),
    ),
    "red-triangles": (
        40,
        ("how many red things are in the picture?", "what shape is the blue object?", "what is in the bottom left?"),
    ),
}
"""Name, scene (counted from the first evaluation seed) and questions of each picture."""


def known_questions(scene: Scene) -> dict[str, Question]:
    """Questions that the generator would ask about a scene, by their text."""
    rng = random.Random(0)
    return {question.question: question for _ in range(30_000) for question in [ask(scene, rng, rng.choice(KINDS))]}


def main() -> None:
    """Writes pictures/*.png and questions.json."""
    parser = argparse.ArgumentParser(description="Draw the demo's pictures and write their questions.")
    parser.add_argument("out", type=Path, help="directory to write pictures/ and questions.json to")
    options = parser.parse_args()
    (options.out / "pictures").mkdir(parents=True, exist_ok=True)
    records = []
    for name, (index, questions) in PICTURES.items():
        scene = scene_from_seed(FIRST_EVALUATION_SEED + index)
        picture = f"pictures/{name}.png"
        render(scene, CANVAS, supersample=2).save(options.out / picture, optimize=True)
        known = known_questions(scene)
        records += [{"picture": picture, "question": text, "answer": known[text].answer} for text in questions]
    (options.out / "questions.json").write_text(json.dumps(records, indent=2) + "\n")
    print(f"{len(PICTURES)} pictures, {len(records)} questions: {options.out}")


if __name__ == "__main__":
    main()
