"""Answers the questions of a directory of scenes by transformers, and says how many answers are right.

It is the yardstick for `evaluate.mjs`, which answers the same questions through this package::

    python scripts/demo/scenes.py SCENES --count 300 --seed 7
    python scripts/demo/evaluate.py SCENES demo/model answers.json
    node scripts/demo/evaluate.mjs SCENES --compare answers.json
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from transformers import AutoTokenizer, BlipForQuestionAnswering


def image_processor(checkpoint: Path) -> Any:
    """BLIP's image processor on Pillow's bicubic, in transformers 4 and 5."""
    if int(transformers.__version__.split(".")[0]) >= 5:
        return transformers.AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
    return transformers.BlipImageProcessor.from_pretrained(checkpoint)


@torch.no_grad()
def answer_all(scenes: Path, checkpoint: Path, max_new_tokens: int) -> list[dict[str, Any]]:
    """Answers each question alone (nothing is padded), greedily.

    Adds `given`, the answer, and `ids`, the generated sequence, to each record of questions.json.
    """
    model = BlipForQuestionAnswering.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    processor = image_processor(checkpoint)
    records = json.loads((scenes / "questions.json").read_text())
    pixel_values: dict[str, torch.Tensor] = {}
    for record in records:
        name = record["picture"]
        if name not in pixel_values:
            pixel_values = {name: processor(Image.open(scenes / name), return_tensors="pt")["pixel_values"]}
        text = tokenizer(record["question"], return_tensors="pt")
        sequence = model.generate(
            pixel_values=pixel_values[name],
            input_ids=text["input_ids"],
            attention_mask=text["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
        )[0]
        record["given"] = tokenizer.decode(sequence, skip_special_tokens=True)
        record["ids"] = sequence.tolist()
    return records


def main() -> None:
    """Writes the answers and prints the accuracy of each kind of question."""
    parser = argparse.ArgumentParser(description="Answer the questions of a directory of scenes by transformers.")
    parser.add_argument("scenes", type=Path, help="directory made by scenes.py")
    parser.add_argument("checkpoint", type=Path, help="Hugging Face checkpoint directory")
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--max-new-tokens", type=int, default=10, help="longest answer (default: 10, as compiled)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    records = answer_all(options.scenes, options.checkpoint, options.max_new_tokens)
    options.out.write_text(json.dumps(records, indent=1) + "\n")
    right: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        hit = record["given"] == record["answer"]
        right["all"].append(hit)
        right[record.get("kind", "other")].append(hit)
    for kind, hits in sorted(right.items()):
        print(f"{kind:12} {sum(hits):5} of {len(hits):5} right, {100 * sum(hits) / len(hits):.2f} %")


if __name__ == "__main__":
    main()
