"""Writes the small TorchScript files that the native tests run, test/fixtures/modules/*.pt, and files of torch's that are no
TorchScript, in test/fixtures/modules/foreign.

    python scripts/make_test_modules.py [NAME…]

NAME: which to write, such as `outputs.pt` or `foreign`; default: all. Written with torch 2.13.0.
"""

import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

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


class Asserts(torch.nn.Module):
    """Fails with a reason of several lines."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.numel() == 0, "the first line\nthe second: with a colon\n  and a third"
        return x


class OnGpu(torch.nn.Module):
    """What tracing on a GPU leaves in a module: tensors are made, and moved, there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(1, device=torch.device("cuda:0"))

    @torch.jit.export
    def moves(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.device("cuda:0"))


class Nested(torch.nn.Module):
    """Outputs that are nested without end, or too much."""

    def forward(self, depth: int) -> Any:
        value: List[Any] = []
        for _ in range(depth):
            outer: List[Any] = [value]
            value = outer
        return value

    @torch.jit.export
    def circle(self) -> Any:
        value: List[Any] = []
        value.append(value)
        return value

    @torch.jit.export
    def circle_of_dicts(self) -> Any:
        items: List[Any] = []
        value: Dict[str, List[Any]] = {"a": items}
        items.append((1, value))
        return value

    @torch.jit.export
    def doubled(self) -> Any:
        value: List[Any] = [1]
        for _ in range(60):
            outer: List[Any] = [value, value]
            value = outer
        return value

    @torch.jit.export
    def many(self, count: int) -> List[int]:
        return [i for i in range(count)]


class Typed(torch.nn.Module):
    """Inputs of every type that JavaScript has values for, given back."""

    def forward(
        self,
        i: int,
        f: float,
        b: bool,
        s: str,
        o: Optional[int],
        fs: List[float],
        rows: List[List[int]],
        named: Dict[str, torch.Tensor],
        numbered: Dict[int, bool],
        pair: Tuple[int, str],
        either: Union[int, str, List[float]],
        device: torch.device,
    ) -> Tuple[int, float, bool, str, Optional[int], List[float], List[List[int]], Dict[str, torch.Tensor], List[int],
               Tuple[int, str], Union[int, str, List[float]], str]:
        return i, f, b, s, o, fs, rows, named, list(numbered.keys()), pair, either, str(device)

    @torch.jit.export
    def kind(self, x: Any) -> str:
        """Which TorchScript type a value came as."""
        if isinstance(x, torch.Tensor):
            return "Tensor"
        if isinstance(x, bool):
            return "bool"
        if isinstance(x, int):
            return "int"
        if isinstance(x, float):
            return "float"
        if isinstance(x, str):
            return "str"
        if isinstance(x, List[int]):
            return "List[int]"
        if isinstance(x, List[float]):
            return "List[float]"
        if isinstance(x, List[torch.Tensor]):
            return "List[Tensor]"
        if isinstance(x, Dict[str, int]):
            return "Dict[str, int]"
        return "other"

    @torch.jit.export
    def number(self, x: Union[int, float, complex]) -> str:
        return "int" if isinstance(x, int) else "float" if isinstance(x, float) else "complex"

    @torch.jit.export
    def shifted(self, x: int, by: int = 3) -> int:
        return x + by


class Endless(torch.nn.Module):
    """A forward that never returns, for inputs whose sum is not negative. It counts in its input, so that others see it run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() >= 0):
            x.add_(1.0)
        return x


class MissingOperator(torch.nn.Module):
    """Calls an operator of a library that libtorch does not bring."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.torchvision.nms(x, x, 0.5)


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


class Linear(torch.nn.Module):
    """What is written by other functions than torch.jit.save."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def write_foreign(out: Path) -> None:
    """Writes one model in torch's other formats."""
    out.mkdir(parents=True, exist_ok=True)
    model = Linear().eval()
    torch.save(model.state_dict(), out / "state_dict.pth")
    torch.save({"model": model.state_dict(), "epoch": 3}, out / "checkpoint.pth")
    torch.save(model.state_dict(), out / "legacy_state_dict.pth", _use_new_zipfile_serialization=False)
    torch.save(model, out / "module.pth")
    program = torch.export.export(model, (torch.zeros(1, 2),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names this machine's files
    torch.export.save(program, out / "exported.pt2")


def main(names: List[str]) -> None:
    """Writes the modules of these names, or all."""
    OUT.mkdir(parents=True, exist_ok=True)
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")
    modules = (
        Outputs, Scalars, Dtypes, OptionalInput, Slow, Temporaries, Complex, Raises, Asserts, OnGpu, Nested, Typed, Endless,
        MissingOperator,
    )  # fmt: skip
    for module in modules:
        name = f"{module.__name__.lower()}.pt"
        if not names or name in names:
            save(torch.jit.script(module()), OUT / name, "cpu")
    torch.manual_seed(0)
    if not names or "resnet.pt" in names:
        save(torch.jit.trace(ResNet().eval(), torch.zeros(1, 3, 224, 224)), OUT / "resnet.pt", "cpu")
    if not names or "foreign" in names:
        write_foreign(OUT / "foreign")


if __name__ == "__main__":
    main(sys.argv[1:])
