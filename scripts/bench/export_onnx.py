"""Writes the tutorial's three parts as ONNX files, for ONNX Runtime: the very modules that `neuron-blip compile` traces.

    python scripts/bench/export_onnx.py MODEL COMPILED OUT

MODEL is a directory as `save_pretrained` writes it, COMPILED what `neuron-blip compile` made of it, for the shapes. The
vision part takes any number of pictures, the others one row. Each file's result is compared with the module's.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn
from transformers import BlipForQuestionAnswering

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))
from neuron_blip_compile.question_answering import TextDecoder, TextEncoder

TOLERANCE = 1e-3


class VisionModel(nn.Module):
    """pixel_values float32 [B, 3, H, W] -> last_hidden_state float32 [B, S, D]"""

    def __init__(self, vision_model: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.vision_model(pixel_values).last_hidden_state


@torch.no_grad()
def main() -> None:
    """Exports and compares; raises RuntimeError where a file gives other results."""
    source, compiled, out = map(Path, sys.argv[1:])
    model = BlipForQuestionAnswering.from_pretrained(source, attn_implementation="eager").eval()
    parts = json.loads((compiled / "neuron_blip.json").read_text())["parts"]
    out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for name, module in (
        ("vision_model", VisionModel(model.vision_model)),
        ("text_encoder", TextEncoder(model.text_encoder)),
        ("text_decoder", TextDecoder(model.text_decoder)),
    ):
        specs = parts[name]["inputs"]
        inputs = tuple(
            torch.randn(spec["shape"]) if spec["dtype"] == "float32" else torch.ones(spec["shape"], dtype=torch.int64)
            for spec in specs
        )
        path = out / f"{name}.onnx"
        # The exporter by tracing: it makes what ONNX Runtime's own optimiser of transformers knows best.
        torch.onnx.export(
            module.eval(),
            inputs,
            path,
            dynamo=False,
            opset_version=17,
            input_names=[spec["name"] for spec in specs],
            output_names=["output"],
            dynamic_axes={"pixel_values": {0: "batch"}, "output": {0: "batch"}} if name == "vision_model" else None,
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        feeds = {spec["name"]: tensor.numpy() for spec, tensor in zip(specs, inputs, strict=True)}
        [output] = session.run(None, feeds)
        difference = (torch.from_numpy(output) - module(*inputs)).abs().max().item()
        if not difference < TOLERANCE:
            raise RuntimeError(f"{path} differs from the module by {difference}")
        print(f"{name}.onnx: largest difference {difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
