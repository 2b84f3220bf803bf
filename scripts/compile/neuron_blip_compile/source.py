"""The Hugging Face model to compile: its weights, its processor and its name."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from .errors import CompileError
from .files import read_json, write_json
from .head import Head
from .heads import head_of
from .hub import name_of
from .tokenizer_config import readable_by_all

logger = logging.getLogger(__name__)

PROCESSOR_FILES = ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """A loaded model. `name` is a hub id or the directory's name: never a path of this machine."""

    name: str
    head: Head
    model: Any  # transformers' class of that architecture
    weights_sha256: str

    @property
    def image_size(self) -> int:
        """Height and width of a picture in pixels."""
        size = self.model.config.vision_config.image_size
        if isinstance(size, (list, tuple)):
            if len(set(size)) != 1:
                raise CompileError(
                    f"This model's pictures are {size[0]} x {size[1]}; only square ones can be compiled."
                )
            size = size[0]
        return int(size)


def load_source(model: str, revision: str | None = None) -> Source:
    """Loads a hub id or a local directory in float32 with eager attention, as what its config.json says it is.

    Raises CompileError where there is no such model, it is no head that can be compiled, or it lacks weights.
    """
    head = find_head(model, revision)
    where, local = _where(model)
    loaded, report = _explain(
        model,
        local,
        lambda: getattr(transformers, head.architecture).from_pretrained(
            where, revision=revision, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        ),
    )
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        raise CompileError(
            f'"{model}" does not hold the weights of {head.architecture}: {len(missing)} are missing '
            f"({', '.join(missing[:3])}…) and {len(report['mismatched_keys'])} have another shape. "
            f"Give a checkpoint of a BLIP for {head.task}, such as {head.example_model}."
        )
    for key in sorted(report["unexpected_keys"]):
        logger.debug("weight that the model does not use: %s", key)
    head.check_model(loaded)
    loaded.eval().requires_grad_(False)
    name = name_of(Path(where).resolve()) if local else model
    return Source(name, head, loaded, weights_sha256(loaded))


def find_head(model: str, revision: str | None = None) -> Head:
    """The head of a hub id or a local directory, by its config.json alone: before the weights are fetched or read.

    Raises CompileError where there is no such model, or it is none that can be compiled.
    """
    where, local = _where(model)
    config = _explain(model, local, lambda: AutoConfig.from_pretrained(where, revision=revision))
    if config.model_type != "blip":
        raise CompileError(f'"{model}" is a model of type "{config.model_type}", not a BLIP.')
    return head_of(model, list(getattr(config, "architectures", None) or []))


def _where(model: str) -> tuple[str, bool]:
    """What to hand to transformers, and whether it is a directory here. Raises CompileError where it can be neither."""
    directory = Path(model).expanduser()
    if directory.is_file():
        raise CompileError(
            f'"{model}" is a file. Give the directory that holds config.json and the weights, or a Hugging Face id.'
        )
    local = directory.is_dir()
    if not local and (model.startswith((".", "/", "~")) or model.count("/") > 1):
        raise CompileError(f'There is no directory "{model}".')
    if local and not (directory / "config.json").is_file():
        raise CompileError(
            f'"{model}" has no config.json, so it is not a model directory as save_pretrained writes it.'
        )
    return (str(directory) if local else model), local


def weights_sha256(model: torch.nn.Module) -> str:
    """Digest of all weights as loaded: each one's name, shape and float32 bytes, by order of name.

    One checkpoint has one digest, however its files are laid out (safetensors, pickles, shards, half precision).
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().contiguous().numpy().data)
    return digest.hexdigest()


def write_processor(model: str, revision: str | None, source: Source, out: Path) -> None:
    """Writes preprocessor_config.json, tokenizer.json and tokenizer_config.json into `out`, as transformers does.

    Raises CompileError where `model` has none, or where they do not fit `source`.
    """
    image_size, text = source.image_size, source.model.config.text_config
    directory = Path(model).expanduser()
    local = directory.is_dir()
    where = str(directory) if local else model
    hint = "Give a directory or an id that has one with --processor."
    try:
        images = image_processor(where, revision)
    except Exception as error:
        logger.debug("loading the image processor failed", exc_info=True)
        raise CompileError(f'"{model}" has no image processor: {_first_line(error)} {hint}') from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, use_fast=True)
        if not tokenizer.is_fast:
            raise CompileError(f'The tokenizer of "{model}" has no tokenizer.json and none can be made of it. {hint}')
    except CompileError:
        raise
    except Exception as error:
        logger.debug("loading the tokenizer failed", exc_info=True)
        raise CompileError(
            f'"{model}" has no tokenizer that transformers {transformers.__version__} can read (it may have been saved '
            f"by a newer one): {_first_line(error)} {hint}"
        ) from error
    # transformers 5 makes an empty tokenizer where there are no files, so that this is also how a missing one shows.
    for token, found, wanted in (
        ("[SEP]", tokenizer.sep_token_id, text.sep_token_id),
        ("[PAD]", tokenizer.pad_token_id, text.pad_token_id),
    ):
        if found != wanted:
            raise CompileError(
                f'"{model}" has no tokenizer for this model: its {token} is token {found}, and the '
                f"model's is {wanted}. {hint}"
            )
    if len(tokenizer) > text.vocab_size:
        raise CompileError(
            f'The tokenizer of "{model}" has {len(tokenizer)} tokens, and the model only {text.vocab_size}. {hint}'
        )
    size = {key: value for key, value in dict(images.size).items() if value is not None}
    if size != {"height": image_size, "width": image_size}:
        raise CompileError(
            f'The image processor of "{model}" makes pictures of {size}, and the vision model looks at '
            f"{image_size} x {image_size}. {hint}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        images.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for name in PROCESSOR_FILES:
            (out / name).write_bytes((Path(temporary) / name).read_bytes())
    path = out / "tokenizer_config.json"
    write_json(path, readable_by_all(read_json(path) or {}))


def image_processor(where: str, revision: str | None = None) -> Any:
    """The Pillow image processor: transformers 5 has it as a class of its own, transformers 4 as the slow one."""
    try:
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil as Processor
    except ImportError:
        from transformers import BlipImageProcessor as Processor
    return Processor.from_pretrained(where, revision=revision)


def _explain(model: str, local: bool, load: Any) -> Any:
    """Runs `load`, with what transformers raises for a model that cannot be loaded as a CompileError."""
    try:
        return load()
    except CompileError:
        raise
    except Exception as error:
        logger.debug("loading failed", exc_info=True)
        hint = (
            "Check that its config.json and weights are complete."
            if local
            else "There is no directory of that name here. If it is a Hugging Face id: check its spelling and this "
            "host's network, or download it where there is one and give the directory."
        )
        raise CompileError(f'Could not load "{model}": {_first_line(error)} {hint}') from error


def _first_line(error: Exception) -> str:
    # Where transformers answers a failure with a remark on packages, the first failure says more.
    while isinstance(error, ImportError) and isinstance(error.__context__, Exception):
        error = error.__context__
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    return line if line.endswith((".", "!", "?")) else f"{line}."
