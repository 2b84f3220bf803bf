"""The Python side of scripts/bench/bench-forward.mjs: times one forward of a TorchScript part whenever it is told to.

    python scripts/bench/bench_forward.py PART.pt THREADS INPUTS_JSON

INPUTS_JSON is a list of {"dtype", "shape"}. For each line on standard input it runs the part once and prints the
milliseconds that took.
"""

import json
import sys
import time

import torch


def main() -> None:
    """Loads the part, then answers line by line."""
    path, threads, inputs_json = sys.argv[1:]
    torch.set_num_threads(int(threads))
    inputs = [torch.ones(spec["shape"], dtype=getattr(torch, spec["dtype"])) for spec in json.loads(inputs_json)]
    inputs = [tensor * 0.1 if tensor.is_floating_point() else tensor for tensor in inputs]
    module = torch.jit.load(path).eval()
    print("ready", flush=True)
    with torch.inference_mode():
        for _ in sys.stdin:
            start = time.perf_counter()
            module(*inputs)
            print((time.perf_counter() - start) * 1000, flush=True)


if __name__ == "__main__":
    main()
