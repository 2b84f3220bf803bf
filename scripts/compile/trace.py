"""Compiles BLIP (question answering, captions, image-text retrieval) into a model directory for `neuron-blip`.

    python scripts/compile/trace.py Salesforce/blip-vqa-base blip-vqa-base-inf2 --target inf2
    python scripts/compile/trace.py ./my-blip my-blip-inf2 --target inf2 --question-length 32 --batch-size 1 4
    python scripts/compile/trace.py ./my-blip my-blip-cpu --target cpu    the tutorial's parts; a checkpoint needs none there

MODEL is a Hugging Face id or a directory that `save_pretrained` wrote, of transformers' BlipForQuestionAnswering,
BlipForConditionalGeneration (captions) or BlipForImageTextRetrieval; its config.json says which. DIR gets the traced
parts, the configuration and tokenizer, a manifest (neuron_blip.json) and reference inputs and outputs
(reference.safetensors). What is up to date, by what it was made from, is left alone.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong arguments; 130 or 143 where it was asked to end by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from neuron_blip_compile.errors import CompileError
from neuron_blip_compile.output import Output

INSTALL = """\
The Python that runs this ({python}) cannot import {name}: {error}.
Compiling needs torch, transformers (4.57 or 5), safetensors and Pillow. Install them, best in a virtual environment:
  python3 -m venv .venv && . .venv/bin/activate && pip install -r {requirements}"""

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Without argparse's usage, of which a line of a log shows nothing."""
        self.exit(2, f"{self.prog}: error: {message}{'' if message.endswith('?') else '.'} `{self.prog} --help` lists the arguments.\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = _Parser(
        prog=os.environ.get("NEURON_BLIP_PROG", "trace.py"),
        description=(__doc__ or "").split("\n\n")[0],
        epilog=f"It needs the packages of {REQUIREMENTS};\n--target inf2 torch-neuronx and neuronx-cc too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # a wrapped path could not be copied
    )
    parser.add_argument("model", metavar="MODEL", help="Hugging Face id, or directory written by save_pretrained")
    parser.add_argument("directory", metavar="DIR", type=Path, help="directory to write; made if it is not there")
    target = parser.add_argument("--target", choices=("cpu", "inf2"), required=True, help="what the parts shall run on")
    parser.add_argument(
        "--question-length",
        metavar="N",
        type=int,
        help="longest question, or text to compare with pictures, in tokens, [CLS] and [SEP] included (default 32; the "
        "tutorial had 8); captions have none",
    )
    parser.add_argument(
        "--answer-length",
        metavar="N",
        type=int,
        help="longest answer in tokens (default 20), or caption with its prompt (default 40); retrieval has none",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=int,
        nargs="+",
        default=[1],
        help="rows per run of a part (default 1). With several sizes, in increasing order, each part is made for every "
        "one; the first is the primary, of which reference.safetensors is",
    )
    parser.add_argument(
        "--rank",
        action="store_true",
        help="question answering: also make text_decoder_all_positions, with which ranking given answers takes fewer runs",
    )
    parser.add_argument(
        "--compiler-args",
        metavar="ARGS",
        help="the Neuron compiler's arguments, in place of the default --auto-cast=matmult --auto-cast-type=fp16 "
        "--model-type=transformer --enable-saturate-infinity. The default casts matrix products only, so that sums stay float32, "
        "and to fp16, the tutorial's type, which rounds eight times finer than bf16; --auto-cast-type alone would cast "
        'nothing. With an equals sign: --compiler-args="--auto-cast=none"',
    )
    parser.add_argument(
        "--async-load", action="store_true", help="inf2: let loading return before a part is on its NeuronCore"
    )
    parser.add_argument(
        "--lazy-load", action="store_true", help="inf2: put a part on its NeuronCore when it is first called"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hugging Face id")
    parser.add_argument(
        "--processor", metavar="MODEL", help="where to take image processor and tokenizer from, if MODEL has none"
    )
    parser.add_argument("--log-dir", metavar="DIR", type=Path, help="directory for logs, which stay there (default: a temporary one, kept only where an error names it)")
    parser.add_argument(
        "--tolerance",
        metavar="X",
        type=float,
        help="fail where a part differs from transformers by more than X times its largest value, or than X where that "
        "is below 1 (default 1e-4 on the CPU; on NeuronCores, whose casts round, 5e-2 is a warning)",
    )
    parser.add_argument("--force", action="store_true", help="trace again what is up to date")
    parser.usage = parser.format_usage().removeprefix("usage: ").strip()
    target.required = False  # looked at after what may be a misspelling of it
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = sorted(name for action in parser._actions for name in action.option_strings)
        near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{f'. Did you mean {near[0]}?' if near else ''}")
    if options.target is None:
        parser.error("the following arguments are required: --target (cpu, or inf2 for NeuronCores)")
    return options


def check_packages() -> str | None:
    """What to install, where a package is missing or too old to import; else None."""
    for name in ("torch", "transformers", "safetensors", "PIL", "neuron_blip_compile.pipeline"):
        try:
            __import__(name)
        except ImportError as error:
            reason = str(error).strip().splitlines()[0]
            return _install(name, reason)
    import transformers

    major, minor = (int(number) for number in transformers.__version__.split(".")[:2])
    if (major, minor) < (4, 57):
        return _install("a new enough transformers", transformers.__version__)
    return None


def _install(name: str, error: str) -> str:
    return INSTALL.format(python=sys.executable, name=name, error=error, requirements=shlex.quote(str(REQUIREMENTS)))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    sys.stdout = Output(sys.stdout)  # type: ignore[assignment]
    options = parse(arguments)
    if options.directory.exists() and not options.directory.is_dir():
        print(f'error: "{options.directory}" is a file. Give a directory to write the model to.', file=sys.stderr)
        return 1
    model = Path(options.model)
    if model.is_dir() and model.resolve() == options.directory.resolve():
        print(f'error: "{model}" is the model itself. Give another directory to write to.', file=sys.stderr)
        return 1
    missing = check_packages()
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1

    from neuron_blip_compile import run, targets
    from neuron_blip_compile.hub import from_hub
    from neuron_blip_compile.pipeline import Request, compile_model
    from neuron_blip_compile.settings import NeuronOptions, Settings

    model_directory = from_hub(options.model, options.revision)
    processor = options.processor and from_hub(options.processor, None, weights=False)

    def compile_into(log_directory: Path) -> None:
        logging.getLogger("neuron_blip_compile").debug("arguments: %s", vars(options))
        settings = Settings(
            question_length=options.question_length,
            answer_length=options.answer_length,
            batch_sizes=tuple(options.batch_size),
            target=options.target,
            compiler_args=targets.compiler_args_of(options.compiler_args, options.target),
            rank=options.rank,
            neuron=NeuronOptions(options.async_load, options.lazy_load),
        )
        compile_model(
            Request(
                model=model_directory,
                directory=options.directory,
                settings=settings,
                revision=options.revision,
                processor=processor,
                log_directory=log_directory,
                tolerance=options.tolerance,
                force=options.force,
            )
        )
        print(f"{options.directory} is ready", flush=True)

    return run.run(options.directory, options.log_dir, compile_into)


if __name__ == "__main__":
    try:
        try:
            sys.exit(main())
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:  # before the compilation, which has its own answer
        sys.exit(130)
    except CompileError as error:
        sys.exit(f"error: {error}")
