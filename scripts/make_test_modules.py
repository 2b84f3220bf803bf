"""Writes the small TorchScript files that the native tests run: test/fixtures/modules/*.pt.

    python scripts/make_test_modules.py

Written with torch 2.13.0.
"""

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from neuron_blip_compile.targets import save

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "modules"


class Outputs(torch.nn.Module):
    """Every kind of output that a module can have, nested."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3), requires_grad=False)

    def forward(self, x: torch.Tensor) -> Dict[str, Tuple[torch.Tensor, torch.Tensor, List[torch.Tensor]]]:
        return {"fresh": (x @ self.weight, x.t(), [x + 1, x[:, 1:]]), "shared": (x, self.weight, [x, x])}


class Scalars(torch.nn.Module):
    """Outputs that are no tensors."""

    def forward(self, x: torch.Tensor) -> Tuple[int, float, bool, str, None]:
        return x.numel(), float(x.sum()), bool(x.any()), "text", None


class Dtypes(torch.nn.Module):
    """Its input as every dtype that crosses to JavaScript."""

    def forward(self, x: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {
            "float32": x.float(),
            "float64": x.double(),
            "float16": x.half(),
            "bfloat16": x.to(torch.bfloat16),
            "int64": x.long(),
            "int32": x.int(),
            "int16": x.short(),
            "int8": x.to(torch.int8),
            "uint8": x.to(torch.uint8),
            "bool": x.to(torch.bool),
        }


class OptionalInput(torch.nn.Module):
    """One input that is required and one that is not."""

    def forward(self, x: torch.Tensor, y: Optional[torch.Tensor] = None) -> torch.Tensor:
        return x if y is None else x * y


class Slow(torch.nn.Module):
    """Multiplies matrices `steps` times: as long a forward as a test needs."""

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        x = torch.eye(256)
        w = torch.full((256, 256), 1.0 / 256)
        for _ in range(int(steps)):
            x = torch.mm(x, w)
        return x


class Temporaries(torch.nn.Module):
    """Makes four tensors of `mebibytes` one after the other, and returns one number."""

    def forward(self, mebibytes: torch.Tensor) -> torch.Tensor:
        x = torch.ones(int(mebibytes) * 262144)
        for _ in range(3):
            x = x + 1
        return x.mean()


class Complex(torch.nn.Module):
    """An output of a dtype that JavaScript has no array for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.complex(x, x)


class Raises(torch.nn.Module):
    """Raises an error of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() >= 0:
            raise ValueError("a reason of the module's own")
        return x


class ResNet(torch.nn.Module):
    """A small residual network with a classifier's inputs and outputs: [B, 3, 224, 224] -> [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 7, stride=4, padding=3)
        self.block = torch.nn.Sequential(
            torch.nn.Conv2d(8, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
        )
        self.classifier = torch.nn.Linear(8, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(pixels))
        x = torch.relu(x + self.block(x))
        return self.classifier(x.mean(dim=(2, 3)))


def main() -> None:
    """Writes every module."""
    OUT.mkdir(parents=True, exist_ok=True)
    for module in (Outputs(), Scalars(), Dtypes(), OptionalInput(), Slow(), Temporaries(), Complex(), Raises()):
        save(torch.jit.script(module), OUT / f"{type(module).__name__.lower()}.pt", "cpu")
    torch.manual_seed(0)
    save(torch.jit.trace(ResNet().eval(), torch.zeros(1, 3, 224, 224)), OUT / "resnet.pt", "cpu")


if __name__ == "__main__":
    main()
