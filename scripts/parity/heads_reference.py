"""Runs transformers' captioning or retrieval on pictures and texts and writes what comes out.

    python scripts/parity/heads_reference.py MODEL OUT --images a.png b.png --texts "a cat" "a cup of coffee on a table"

MODEL is a Hugging Face id or directory. Everything is computed on the CPU in float32 with eager attention, from what
`BlipProcessor` makes of pictures (with Pillow) and texts.

For a BlipForConditionalGeneration, OUT/captions.json:
  versions    {"torch", "transformers", "python", "pillow"}
  images      file names
  left_out    {reason: number of runs that are not written, since another computer may answer otherwise}
  runs        [{"images": [index per row], "prompt": text | null, the first words of each text: none to four,
                "settings": what `generate` was given, besides do_sample=False,
                "sequences": [[ids, prompt included, without padding behind]…], num_return_sequences per row,
                "sequences_scores": [number…], or null if greedy,
                "transition_scores": [[one per generated token]…], as generation_reference.py has them,
                "texts": [decoded, without special tokens]}]

For a BlipForImageTextRetrieval, OUT/retrieval.json, each text by itself, unpadded:
  versions, images    as above
  texts       texts; input_ids: [[ids]…]
  itm_logits  [[[no match, match] per text] per picture]
  match       [[probability of a match per text] per picture]
  similarity  [[cosine per text] per picture], of use_itm_head=False
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import transformers
from generation_reference import Generator, Settings, Undecided, load, versions, write_json
from parity_reference import read_image
from PIL import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipProcessor,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "compile"))
from neuron_blip_compile.source import image_processor  # noqa: E402

# Salesforce's own captions are of 3 beams, at most 30 and at least 10 tokens.
SETTINGS: tuple[Settings, ...] = (
    {},
    {"max_new_tokens": 6},
    {"max_length": 12, "min_length": 7},
    {"num_beams": 3, "max_length": 12, "min_length": 5},
    {"num_beams": 3, "max_length": 30, "min_length": 10, "repetition_penalty": 1.3},
    {"num_beams": 4, "num_return_sequences": 2, "max_new_tokens": 8, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 2, "no_repeat_ngram_size": 2, "min_new_tokens": 3, "max_new_tokens": 9},
    {"num_beams": 3, "length_penalty": -1.0, "early_stopping": "never", "max_new_tokens": 5},
)


def make_captions(model: Any, processor: Any, images: list[Image.Image], texts: list[str]) -> dict[str, Any]:
    """What captions.json holds, besides the versions: each setting with each prompt, by turns with each batch."""
    generator = Generator(model)
    prompts = [None, *(" ".join(texts[index % len(texts)].split()[: index + 1]) for index in range(4))]
    batches = [[image] for image in range(len(images))]
    batches += [[*range(len(images))], [*reversed(range(len(images)))][:2]]
    runs: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for row, settings in enumerate(SETTINGS):
        for column, prompt in enumerate(prompts):
            batch = batches[(row + column) % len(batches)]

            def ask(batch: list[int] = batch, prompt: str | None = prompt) -> dict[str, Tensor]:
                text = {} if prompt is None else {"text": [prompt] * len(batch)}
                return dict(processor(images=[images[image] for image in batch], return_tensors="pt", **text))

            try:
                result = generator.run(ask, settings)
            except Undecided as reason:
                left_out[str(reason)] += 1
                continue
            decoded = processor.batch_decode(result["sequences"], skip_special_tokens=True)
            runs.append({"images": batch, "prompt": prompt, "settings": settings, **result, "texts": decoded})
    return {"left_out": left_out, "runs": runs}


@torch.no_grad()
def make_retrieval(model: Any, processor: Any, images: list[Image.Image], texts: list[str]) -> dict[str, Any]:
    """What retrieval.json holds, besides the versions and images."""
    logits: list[list[Tensor]] = []
    similarity: list[list[float]] = []
    for image in images:
        inputs = [processor(images=image, text=text, return_tensors="pt") for text in texts]
        logits.append([model(**each).itm_score[0] for each in inputs])
        similarity.append([model(**each, use_itm_head=False).itm_score.item() for each in inputs])
    return {
        "texts": texts,
        "input_ids": [processor.tokenizer(text).input_ids for text in texts],
        "itm_logits": [[score.tolist() for score in row] for row in logits],
        "match": [[score.softmax(dim=-1)[1].item() for score in row] for row in logits],
        "similarity": similarity,
    }


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description="Write transformers' captions, or how well pictures and texts match.")
    parser.add_argument("model", metavar="MODEL", help="Hugging Face id or directory")
    parser.add_argument("out", metavar="OUT", type=Path, help="directory to write to")
    parser.add_argument("--images", metavar="FILE", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", metavar="TEXT", nargs="+", required=True, help="prompts are these texts' beginnings")
    options = parser.parse_args()
    torch.set_num_threads(1)  # faster for models as small as those of the tests
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    captions = BlipForConditionalGeneration.__name__ in (AutoConfig.from_pretrained(options.model).architectures or [])
    try:
        model = load(options.model, BlipForConditionalGeneration if captions else BlipForImageTextRetrieval)
        processor = BlipProcessor(image_processor(options.model), AutoTokenizer.from_pretrained(options.model))
        images = [read_image(path) for path in options.images]
        make = make_captions if captions else make_retrieval
        record = make(model, processor, images, options.texts)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    path = options.out / ("captions.json" if captions else "retrieval.json")
    write_json(path, {"versions": versions(), "images": [path.name for path in options.images], **record})
    told = f"{len(record['runs'])} runs, left out {dict(record['left_out'])}" if captions else "all pairs"
    print(f"{path}: {told}, by transformers {transformers.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
