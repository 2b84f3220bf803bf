"""The Python side of scripts/bench/bench-images.mjs: prepares one picture with Pillow and transformers whenever it is told to.

    python scripts/bench/bench_images.py

For each line on standard input, the path of a picture, it opens and decodes it with Pillow, makes pixel values of it with
transformers' BlipImageProcessor on Pillow, and prints the milliseconds that took and a digest of the pixel values.
"""

import hashlib
import sys
import time

import numpy as np
from PIL import Image

try:  # transformers 5
    from transformers import BlipImageProcessorPil as Processor
except ImportError:  # transformers 4, whose only processor this is
    from transformers import BlipImageProcessor as Processor


def main() -> None:
    """Prepares a picture for each line."""
    processor = Processor()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        image = Image.open(line.rstrip("\n")).convert("RGB")
        values = processor(image, return_tensors="np")["pixel_values"]
        milliseconds = (time.perf_counter() - start) * 1000
        digest = hashlib.sha256(np.ascontiguousarray(values, dtype=np.float32).tobytes()).hexdigest()
        print(milliseconds, digest, flush=True)


if __name__ == "__main__":
    main()
