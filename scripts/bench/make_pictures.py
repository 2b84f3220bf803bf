"""Makes JPEG files that resemble photographs in size and detail, each different.

    python scripts/bench/make_pictures.py OUT SMALL LARGE [--tiny]

SMALL pictures of 640 x 480, small-00.jpg and on, and LARGE of 4000 x 3000 (12 megapixels), large-00.jpg and on; --tiny
makes the large ones 1200 x 900.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth patches of colour with finer ones and grain on them."""
    random = numpy.random.default_rng(seed)
    pixels = numpy.zeros((height, width, 3), dtype=numpy.float32)
    for cells, weight in ((6, 0.55), (40, 0.3), (160, 0.15)):
        rows = max(1, cells * height // width)
        noise = random.integers(0, 256, (rows, cells, 3), dtype=numpy.uint8)
        pixels += weight * numpy.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    pixels += random.normal(0, 4, (height, width, 1)).astype(numpy.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))


def main() -> None:
    """Writes the files."""
    out, small, large, *rest = sys.argv[1:]
    directory = Path(out)
    directory.mkdir(parents=True, exist_ok=True)
    for index in range(int(small)):
        picture(640, 480, index).save(directory / f"small-{index:02}.jpg", quality=88)
    size = (1200, 900) if rest == ["--tiny"] else (4000, 3000)
    for index in range(int(large)):
        picture(*size, 1000 + index).save(directory / f"large-{index:02}.jpg", quality=88)


if __name__ == "__main__":
    main()
