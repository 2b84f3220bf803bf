"""WebP: lossy, lossless, with alpha, animated, with each orientation."""

import io
from collections.abc import Iterator

from PIL import Image

from . import photograph
from .photograph import RGB

Files = Iterator[tuple[str, bytes]]


def saved(picture: Image.Image = RGB, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "WEBP", **options)
    return out.getvalue()


def files() -> Files:
    for name in ("1", "L", "LA", "P", "RGB", "RGBA"):
        for lossless in (False, True):
            yield f"mode-{name}{'-lossless' if lossless else ''}", saved(photograph.mode(name), lossless=lossless)
    yield "rgba-exact", saved(photograph.rgba(), lossless=True, exact=True)
    for quality in (1, 50, 100):
        yield f"quality-{quality}", saved(quality=quality)
        yield f"alpha-quality-{quality}", saved(photograph.rgba(), alpha_quality=quality)
    for method in (0, 6):
        yield f"method-{method}", saved(method=method)
        yield f"method-{method}-lossless", saved(method=method, lossless=True)
    others = [RGB.rotate(180), RGB.rotate(90)]
    yield "animated", saved(save_all=True, append_images=others, duration=100)
    yield "animated-lossless", saved(save_all=True, append_images=others, lossless=True)
    yield "animated-rgba", saved(photograph.rgba(), save_all=True, append_images=others, lossless=True)
    for orientation in photograph.orientations():
        yield f"orientation-{orientation}-exif", saved(exif=photograph.exif(orientation))
        yield f"orientation-{orientation}-xmp", saved(xmp=photograph.xmp(orientation))
    yield "upright-exif-stale-xmp", saved(exif=photograph.exif(1), xmp=photograph.xmp(6))
    yield "orientation-6-rgba", saved(photograph.rgba(), exif=photograph.exif(6), lossless=True)
    plain = saved(lossless=True)
    yield "trailing-bytes", plain + b"more bytes"
    for part in (0.3, 0.6, 0.95):
        yield f"cut-{part}", plain[: int(len(plain) * part)]
