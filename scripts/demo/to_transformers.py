"""Rebuilds the Hugging Face checkpoint of a compiled CPU model, so that its weights need not be kept twice.

The traced parts are not frozen, so each still holds its parameters under transformers' names (behind the name its
wrapper gave the module). Quantised, frozen or Neuron-compiled parts have lost them and are refused::

    python scripts/demo/to_transformers.py demo/model OUT
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers import BlipConfig, BlipForQuestionAnswering

PARTS = ("vision_model", "text_encoder", "text_decoder")
FILES = ("generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def part_weights(directory: Path, part: str, names: set[str]) -> dict[str, torch.Tensor]:
    """Weights of one part by transformers' names inside that part; `names` are the names to look for.

    Raises ValueError where the file holds none of them.
    """
    stored = torch.jit.load(str(directory / f"{part}.pt"), map_location="cpu").state_dict()
    # A wrapper's attribute stands before every name: the prefix that explains most names is it.
    prefixes = {key[: -len(name)] for key in stored for name in names if key == name or key.endswith(f".{name}")}
    if not prefixes:
        raise ValueError(f"{directory / part}.pt holds no weights by transformers' names; was it frozen?")
    prefix = max(prefixes, key=lambda candidate: (sum(candidate + name in stored for name in names), candidate))
    return {name: stored[prefix + name] for name in names if prefix + name in stored}


def rebuild(directory: Path) -> BlipForQuestionAnswering:
    """Builds the eager model of a compiled directory.

    Raises ValueError where a weight is missing or has another shape.
    """
    model = BlipForQuestionAnswering(BlipConfig.from_pretrained(directory))
    for part in PARTS:
        module = getattr(model, part)
        weights = part_weights(directory, part, set(module.state_dict()))
        for name, value in weights.items():
            if module.state_dict()[name].shape != value.shape:
                raise ValueError(f"{part}.{name} is {tuple(value.shape)}, not {tuple(module.state_dict()[name].shape)}")
        module.load_state_dict(weights, strict=False)
        # Tied weights are stored once: a name may be absent where another name of the same tensor is there.
        loaded = {module.state_dict()[name].data_ptr() for name in weights}
        missing = [
            name
            for name, value in module.state_dict().items()
            if value.data_ptr() not in loaded and not name.endswith("position_ids")
        ]
        if missing:
            raise ValueError(f"{directory / part}.pt lacks {len(missing)} weights, {missing[0]} among them")
    return model.eval()


def main() -> None:
    """Writes the checkpoint directory."""
    parser = argparse.ArgumentParser(description="Rebuild a Hugging Face checkpoint from a compiled model.")
    parser.add_argument("model", type=Path, help="compiled model directory (target cpu)")
    parser.add_argument("out", type=Path, help="directory to write")
    options = parser.parse_args()
    if options.out.resolve() == options.model.resolve():
        parser.error("OUT must be another directory: its config.json would replace the compiled model's")
    model = rebuild(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(options.out)
    for name in FILES:
        if (options.model / name).exists():
            shutil.copyfile(options.model / name, options.out / name)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters: {options.out}")


if __name__ == "__main__":
    main()
