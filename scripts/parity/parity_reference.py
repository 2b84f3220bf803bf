"""Runs transformers on pictures and questions and writes all that there is to compare with.

    python scripts/parity/parity_reference.py MODEL OUT --images a.png b.jpg --questions "what is it?" "is there a cat?"

MODEL is a Hugging Face id or directory. OUT gets two files; everything is computed on the CPU in float32 (and `rounding` in
float64 as well) with eager attention, and pictures go through Pillow (transformers 4: the slow processor; 5: the "pil" backend).

reference.safetensors, where I counts images and Q questions from 0, n is a question's own token count, Lq the question
length asked for, S the tokens of a picture, D the width, V the vocabulary:
  image.I.pixel_values            float32 [1, 3, H, W]
  image.I.last_hidden_state       float32 [1, S, D]
  image.I.pooler_output           float32 [1, D]
  image.I.interpolated_pixel_values, image.I.interpolated_last_hidden_state      the same of a picture of `--interpolate` HEIGHT
                                  and WIDTH, with interpolate_pos_encoding (where it was asked for)
  question.Q.input_ids            int64 [1, n]
  question.Q.padded_input_ids     int64 [1, Lq]   cut to Lq tokens with [SEP] last, if longer (`truncated` in the JSON)
  question.Q.attention_mask       int64 [1, Lq]
  pair.I.Q.question_embeds        float32 [1, n, D]    the text encoder's output, unpadded
  pair.I.Q.padded_question_embeds float32 [1, Lq, D]   the same, padded, with its mask (from row n on: padding)
  pair.I.Q.answer_ids             int64 [1, T + 1]     the answer that the next entries are about, first token included
  pair.I.Q.logits                 float32 [1, T, V]    the decoder's logits after each of those tokens but the last,
                                                       from the unpadded question
  pair.I.Q.ones_logits            float32 [1, T, V]    the same from the padded question with transformers' mask of ones
                                                       (left out where the question was truncated)

reference.json:
  versions            {"torch", "transformers", "python", "pillow"}
  image_processor     class name
  question_length     Lq
  rounding            {name in reference.safetensors: how far float32 is from float64 there, at most}
  images              [{"file": name}], in the order of I
  questions           [{"text", "input_ids": [n ids], "truncated": bool}], in the order of Q
  generate            one entry for each image, question and setting: BlipForQuestionAnswering.generate, greedy, for the
                      unpadded question alone:
                      {"image": I, "question": Q, "settings": {"max_new_tokens" | "max_length" | "min_length": number},
                       "sequence": ids with the first token and, if reached, [SEP], "text": decoded,
                       "token_log_probs": [log-probability of each token after the first, from the processed scores:
                       with min_length in force, [SEP] is left out of the sum],
                       "raw_token_log_probs": [the same from the logits as they are]}
  padded_generate     one entry for each setting: all images with all questions (Q fastest) in one batch, padded to Lq,
                      with the tokenizer's mask for the encoder and, as transformers does it, ones for the decoder:
                      {"settings", "pairs": [[I, Q]…], "sequences": [ids, padded with the pad token after [SEP]…],
                       "token_log_probs": [[…]…], "raw_token_log_probs": [[…]…] as above, for each token up to [SEP]}
                      Questions that were truncated are not in it.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
from pathlib import Path
from typing import Any

import PIL
import torch
import transformers
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, BlipForQuestionAnswering

sys.path.append(str(Path(__file__).resolve().parents[1] / "compile"))
from neuron_blip_compile.errors import CompileError  # noqa: E402
from neuron_blip_compile.source import image_processor, load_source  # noqa: E402

SETTINGS: tuple[dict[str, int], ...] = (
    {},
    {"max_new_tokens": 3},
    {"max_length": 6},
    {"min_length": 5},
    {"min_length": 4, "max_new_tokens": 8},
)


class Reference:
    """Collects tensors and records of one model."""

    def __init__(self, model: BlipForQuestionAnswering, tokenizer: Any, question_length: int) -> None:
        self.model = model
        self.exact = copy.deepcopy(model).double()
        self.tokenizer = tokenizer
        self.question_length = question_length
        self.pad = model.config.text_config.pad_token_id
        self.sep = model.config.text_config.sep_token_id
        self.tensors: dict[str, Tensor] = {}
        # How far the model's own float32 is from its float64, by the tensors' keys: where deep random models magnify
        # rounding, nobody else's float32 can be nearer to transformers'.
        self.rounding: dict[str, float] = {}
        self.pixels: list[Tensor] = []
        self.ids: list[Tensor] = []
        self.truncated: list[bool] = []

    def add_image(self, pixels: Tensor) -> None:
        """Records one picture and what the vision model makes of it."""
        output = self.model.vision_model(pixels)
        key = f"image.{len(self.pixels)}"
        self.pixels.append(pixels)
        self.tensors[f"{key}.pixel_values"] = pixels
        exact = self.exact.vision_model(pixels.double())
        for name in ("last_hidden_state", "pooler_output"):
            self._add(f"{key}.{name}", output[name], exact[name])

    def add_interpolated(self, image: int, pixels: Tensor) -> None:
        """Records what the vision model makes of a picture of another size than it was trained with."""
        self.tensors[f"image.{image}.interpolated_pixel_values"] = pixels
        output = self.model.vision_model(pixels, interpolate_pos_encoding=True)
        self.tensors[f"image.{image}.interpolated_last_hidden_state"] = output.last_hidden_state

    def _add(self, key: str, found: Tensor, exact: Tensor) -> None:
        self.tensors[key] = found
        self.rounding[key] = (found - exact).abs().max().item()

    def add_question(self, text: str) -> dict[str, Any]:
        """Records one question, as it is and padded."""
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        padded = self.tokenizer(
            text, return_tensors="pt", padding="max_length", truncation=True, max_length=self.question_length
        )
        key = f"question.{len(self.ids)}"
        truncated = ids.shape[1] > self.question_length
        self.ids.append(ids)
        self.truncated.append(truncated)
        self.tensors[f"{key}.input_ids"] = ids
        self.tensors[f"{key}.padded_input_ids"] = padded.input_ids
        self.tensors[f"{key}.attention_mask"] = padded.attention_mask
        return {"text": text, "input_ids": ids[0].tolist(), "truncated": truncated}

    def add_pair(self, image: int, question: int) -> None:
        """Records what text encoder and decoder make of a question about a picture."""
        key = f"pair.{image}.{question}"
        padded_mask = self.tensors[f"question.{question}.attention_mask"]
        padded_ids = self.tensors[f"question.{question}.padded_input_ids"]
        embeds, padded, exact, exact_padded = (
            encoded
            for model in (self.model, self.exact)
            for encoded in (
                self._encode(model, image, self.ids[question], None),
                self._encode(model, image, padded_ids, padded_mask),
            )
        )
        answer = self.model.generate(
            input_ids=self.ids[question], pixel_values=self.pixels[image], do_sample=False, num_beams=1
        )
        self._add(f"{key}.question_embeds", embeds, exact)
        self._add(f"{key}.padded_question_embeds", padded, exact_padded)
        self.tensors[f"{key}.answer_ids"] = answer
        ids = answer[:, :-1]
        self._add(f"{key}.logits", self._decode(self.model, ids, embeds), self._decode(self.exact, ids, exact))
        if not self.truncated[question]:
            self.tensors[f"{key}.ones_logits"] = self._decode(self.model, ids, padded)

    def generate(self, image: int, question: int, settings: dict[str, int]) -> dict[str, Any]:
        """One unpadded question about one picture."""
        result = self._generate(self.pixels[image], self.ids[question], None, settings)
        return {
            "image": image,
            "question": question,
            "settings": settings,
            "sequence": result["sequences"][0],
            "text": self.tokenizer.decode(result["sequences"][0], skip_special_tokens=True),
            "token_log_probs": result["token_log_probs"][0],
            "raw_token_log_probs": result["raw_token_log_probs"][0],
        }

    def padded_generate(self, settings: dict[str, int]) -> dict[str, Any]:
        """All questions about all pictures in one padded batch."""
        questions = [question for question, truncated in enumerate(self.truncated) if not truncated]
        pairs = [[image, question] for image in range(len(self.pixels)) for question in questions]
        stacked = {
            name: torch.cat([self.tensors[f"question.{question}.{name}"] for _, question in pairs])
            for name in ("padded_input_ids", "attention_mask")
        }
        pixels = torch.cat([self.pixels[image] for image, _ in pairs])
        result = self._generate(pixels, stacked["padded_input_ids"], stacked["attention_mask"], settings)
        return {"settings": settings, "pairs": pairs, **result}

    def _encode(self, model: Any, image: int, ids: Tensor, mask: Tensor | None) -> Tensor:
        image_embeds = self.tensors[f"image.{image}.last_hidden_state"].to(model.dtype)
        return model.text_encoder(
            input_ids=ids,
            attention_mask=torch.ones_like(ids) if mask is None else mask,
            encoder_hidden_states=image_embeds,
            encoder_attention_mask=torch.ones(image_embeds.shape[:2], dtype=torch.int64),
        ).last_hidden_state

    def _decode(self, model: Any, ids: Tensor, embeds: Tensor) -> Tensor:
        return model.text_decoder(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            encoder_hidden_states=embeds,
            encoder_attention_mask=torch.ones(embeds.shape[:2], dtype=torch.int64),
        ).logits

    def _generate(
        self, pixels: Tensor, ids: Tensor, mask: Tensor | None, settings: dict[str, int]
    ) -> dict[str, list[list[Any]]]:
        """Runs `generate` as users call it, greedily, and takes the tokens' log-probabilities along."""
        output = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids) if mask is None else mask,
            pixel_values=pixels,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
            **settings,
        )
        result: dict[str, list[list[Any]]] = {"sequences": output.sequences.tolist()}
        for name, steps in (("token_log_probs", output.scores), ("raw_token_log_probs", output.logits)):
            rows: list[list[float]] = []
            for row, sequence in enumerate(output.sequences):
                log_probs: list[float] = []
                for token, scores in zip(sequence[1:].tolist(), steps, strict=True):
                    log_probs.append(scores[row].double().log_softmax(dim=-1)[token].item())
                    if token == self.sep:
                        break
                rows.append(log_probs)
            result[name] = rows
        return result


def read_image(path: Path) -> Image.Image:
    """A picture as RGB, turned as its EXIF says: what transformers' `load_image` makes of a file."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


@torch.no_grad()
def make_reference(
    model: str,
    out: Path,
    images: list[Path],
    questions: list[str],
    question_length: int,
    settings: list[dict[str, int]],
    interpolate: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Computes and writes everything; returns what reference.json holds. Raises CompileError as `load_source`."""
    source = load_source(model)
    processor = image_processor(model)
    reference = Reference(source.model, AutoTokenizer.from_pretrained(model), question_length)
    for path in images:
        reference.add_image(processor(read_image(path), return_tensors="pt").pixel_values)
    if interpolate:
        size = {"height": interpolate[0], "width": interpolate[1]}
        for image, path in enumerate(images):
            pixels = processor(read_image(path), size=size, return_tensors="pt").pixel_values
            reference.add_interpolated(image, pixels)
    asked = [reference.add_question(question) for question in questions]
    for image in range(len(images)):
        for question in range(len(questions)):
            reference.add_pair(image, question)
    record = {
        "versions": {
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "pillow": PIL.__version__,
        },
        "image_processor": type(processor).__name__,
        "question_length": question_length,
        "images": [{"file": path.name} for path in images],
        "questions": asked,
        "rounding": reference.rounding,
        "generate": [
            reference.generate(image, question, setting)
            for image in range(len(images))
            for question in range(len(questions))
            for setting in settings
        ],
        "padded_generate": [reference.padded_generate(setting) for setting in settings] if questions else [],
    }
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.clone().contiguous() for name, tensor in reference.tensors.items()}
    save_file(tensors, str(out / "reference.safetensors"), metadata={"format": "pt"})
    (out / "reference.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return record


def main() -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description="Write transformers' own results, to compare with.")
    parser.add_argument("model", metavar="MODEL", help="Hugging Face id or directory")
    parser.add_argument("out", metavar="OUT", type=Path, help="directory to write to")
    parser.add_argument("--images", metavar="FILE", type=Path, nargs="+", required=True)
    parser.add_argument("--questions", metavar="TEXT", nargs="+", required=True)
    parser.add_argument("--question-length", metavar="N", type=int, default=32, help="default %(default)s")
    parser.add_argument(
        "--interpolate", metavar=("HEIGHT", "WIDTH"), type=int, nargs=2, help="also look at pictures of this size"
    )
    parser.add_argument(
        "--settings",
        metavar="JSON",
        nargs="+",
        type=json.loads,
        default=list(SETTINGS),
        help=f"settings of generate, each a JSON object (default: {' '.join(map(json.dumps, SETTINGS))})",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        record = make_reference(
            options.model,
            options.out,
            options.images,
            options.questions,
            options.question_length,
            options.settings,
            options.interpolate,
        )
    except CompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {len(record['generate'])} answers by transformers {transformers.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
