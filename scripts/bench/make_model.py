"""Makes the random BLIP-VQA that the benchmark asks: of full size, or a tiny one for a trial run.

    python scripts/bench/make_model.py OUT TOKENIZER [--tiny]

OUT gets what `save_pretrained` writes, and the tokenizer of the directory TOKENIZER. The vision initializer is 0.02:
transformers' default, 1e-10, makes a model that does not see the picture.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers import BlipConfig, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def main() -> None:
    """Writes the model, seeded, so that everyone measures the same."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    size, sizes = (32, TINY) if options.tiny else (384, {})
    patch = {"patch_size": 8} if options.tiny else {}
    config = BlipConfig(
        text_config={**sizes, **({"encoder_hidden_size": TINY["hidden_size"]} if options.tiny else {})},
        vision_config={**sizes, **patch, "image_size": size, "initializer_range": 0.02},
    )
    torch.manual_seed(0)
    BlipForQuestionAnswering(config).eval().save_pretrained(options.out)
    BlipImageProcessorPil(size={"height": size, "width": size}).save_pretrained(options.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(options.tokenizer / name, options.out / name)


if __name__ == "__main__":
    main()
