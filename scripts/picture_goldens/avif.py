"""AVIF: each sampling, alpha, ranges, animated, with each orientation."""

import io
from collections.abc import Iterator

from PIL import Image

from . import photograph
from .photograph import RGB

Files = Iterator[tuple[str, bytes]]


def saved(picture: Image.Image = RGB, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "AVIF", **options)
    return out.getvalue()


def files() -> Files:
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        for quality in (30, 75, 100):
            yield f"{sampling.replace(':', '')}-quality-{quality}", saved(subsampling=sampling, quality=quality)
    for name in ("L", "LA", "P", "RGBA"):
        yield f"mode-{name}", saved(photograph.mode(name), subsampling="4:4:4")
    for value in ("full", "limited"):
        yield f"range-{value}", saved(range=value, subsampling="4:4:4")
    for sampling in ("4:2:0", "4:0:0"):
        yield f"{sampling.replace(':', '')}-range-limited", saved(range="limited", subsampling=sampling)
    plain = saved(subsampling="4:4:4")
    yield "brand-mif1", plain[:8] + b"mif1" + plain[12:]
    yield "animated", saved(save_all=True, append_images=[RGB.rotate(180)], subsampling="4:4:4")
    for orientation in photograph.orientations():
        yield f"orientation-{orientation}-exif-444", saved(exif=photograph.exif(orientation), subsampling="4:4:4")
        yield f"orientation-{orientation}-xmp-444", saved(xmp=photograph.xmp(orientation), subsampling="4:4:4")
    for part in (0.3, 0.6, 0.95):
        yield f"cut-{part}", plain[: int(len(plain) * part)]
