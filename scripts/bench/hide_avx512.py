"""Makes a copy of ONNX Runtime that takes an x86-64 CPU for one with AVX2 and nothing newer: for the benchmark, on Linux.

    python hide_avx512.py DIR    with the benchmark's Python; needs gcc and objdump

ONNX Runtime asks the CPU itself what it can, and no setting makes it use less. In the copy the instruction that asks
traps, and hide_avx512.c answers. Prints what the environment must say for Python to take the copy.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime

CPUID, TRAP = b"\x0f\xa2", b"\x0f\x0b"


def sections(library: Path) -> list[tuple[int, int, int]]:
    """-> address, size and place in the file of each section."""
    listed = subprocess.run(["objdump", "-h", library], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^ *\d+ \S+ +([0-9a-f]+) +([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+)", listed, re.MULTILINE)
    return [(int(address, 16), int(size, 16), int(place, 16)) for size, address, place in rows]


def set_traps(library: Path) -> int:
    """Puts a trap in place of every cpuid. -> how many."""
    command = ["objdump", "-d", "--no-show-raw-insn", library]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [int(address, 16) for address in re.findall(r"^ *([0-9a-f]+):\tcpuid", listed, re.MULTILINE)]
    code = bytearray(library.read_bytes())
    parts = sections(library)
    for address in found:
        at = next(place + address - start for start, size, place in parts if start <= address < start + size)
        assert code[at : at + 2] == CPUID
        code[at : at + 2] = TRAP
    library.write_bytes(code)
    return len(found)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    package = shutil.copytree(Path(onnxruntime.__file__).parent, target / "onnxruntime", dirs_exist_ok=True)
    traps = sum(set_traps(library) for library in package.glob("capi/*.so"))
    if traps == 0:
        sys.exit("No cpuid was found: this ONNX Runtime, or objdump, is of another kind.")
    answers = target / "hide_avx512.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", source, "-o", answers], check=True)
    print(f"{traps} traps", file=sys.stderr)
    print(f"PYTHONPATH={target} LD_PRELOAD={answers}")
