"""TIFF: each mode by each compression as Pillow writes it, and from tifffile tiles, planes, predictors and byte orders."""

import io
from collections.abc import Iterator

import numpy as np
import tifffile
from PIL import Image

from . import photograph
from .photograph import RGB

Files = Iterator[tuple[str, bytes]]
COMPRESSIONS = (None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "lzma", "zstd", "jpeg")
# Of other modes libtiff refuses it, and leaves its memory damaged.
JPEG_MODES = ("L", "RGB", "YCbCr", "CMYK")
MODES = ("1", "L", "LA", "P", "PA", "I;16", "I;16B", "I", "F", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr", "LAB")
BILEVEL = ("tiff_ccitt", "group3", "group4")


def saved(picture: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "TIFF", **options)
    return out.getvalue()


def by_tifffile(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, software=False, **options)
    return out.getvalue()


def of_each_mode() -> Files:
    for mode in MODES:
        picture = lab() if mode == "LAB" else photograph.mode(mode)
        for compression in COMPRESSIONS:
            if compression == "jpeg" and mode not in JPEG_MODES:
                continue
            yield f"{mode.replace(';', '-')}-{compression or 'raw'}", saved(picture, compression=compression)
    for compression in BILEVEL:
        yield f"1-{compression}", saved(photograph.mode("1"), compression=compression)
    yield "big-tiff", saved(RGB, big_tiff=True)
    yield "big-tiff-deflate", saved(RGB, big_tiff=True, compression="tiff_adobe_deflate")
    for strip in (1, 5):
        yield f"strips-of-{strip}", saved(RGB, compression="tiff_lzw", tiffinfo={278: strip})
    yield "pages", saved(RGB, save_all=True, append_images=[RGB.rotate(180)])
    for predictor in (1, 2):
        yield f"lzw-predictor-{predictor}", saved(RGB, compression="tiff_lzw", tiffinfo={317: predictor})
    for quality in (20, 95):
        yield f"jpeg-quality-{quality}", saved(RGB, compression="jpeg", quality=quality)


def lab() -> Image.Image:
    from PIL import ImageCms

    return ImageCms.profileToProfile(RGB, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")


def of_each_orientation() -> Files:
    for orientation in photograph.orientations():
        for mode in ("RGB", "P", "1"):
            yield f"orientation-{orientation}-{mode}", saved(photograph.mode(mode), tiffinfo={274: orientation})
        yield f"orientation-{orientation}-lzw", saved(RGB, compression="tiff_lzw", tiffinfo={274: orientation})
        yield f"orientation-{orientation}-xmp", saved(RGB, tiffinfo={700: photograph.xmp(orientation)})
    yield "upright-stale-xmp", saved(RGB, tiffinfo={274: 1, 700: photograph.xmp(6)})


def from_tifffile() -> Files:
    pixels = np.array(RGB)
    gray = pixels[..., 1]
    rgba = np.array(photograph.rgba())
    deep = pixels.astype(np.uint16) * 257
    for order, name in (("<", "little"), (">", "big")):
        yield f"{name}-endian", by_tifffile(pixels, byteorder=order, photometric="rgb")
        yield f"{name}-endian-gray", by_tifffile(gray, byteorder=order, photometric="minisblack")
        yield f"{name}-endian-rgb-16", by_tifffile(deep, byteorder=order, photometric="rgb")
        yield f"{name}-endian-gray-16", by_tifffile(gray.astype(np.uint16) * 2, byteorder=order, photometric="minisblack")
        yield f"{name}-endian-tiled", by_tifffile(pixels, byteorder=order, photometric="rgb", tile=(16, 16))
    yield "white-is-0", by_tifffile(gray, photometric="miniswhite")
    yield "tiled-gray", by_tifffile(gray, photometric="minisblack", tile=(16, 32))
    yield "tiled-deflate", by_tifffile(pixels, photometric="rgb", tile=(16, 16), compression="zlib")
    yield "tiled-deflate-predictor", by_tifffile(pixels, photometric="rgb", tile=(16, 16), compression="zlib", predictor=2)
    yield "deflate-predictor-16", by_tifffile(deep, photometric="rgb", compression="zlib", predictor=2)
    planes = np.moveaxis(pixels, 2, 0)
    yield "planes", by_tifffile(planes, photometric="rgb", planarconfig="separate")
    yield "planes-deflate", by_tifffile(planes, photometric="rgb", planarconfig="separate", compression="zlib")
    yield "planes-tiled", by_tifffile(planes, photometric="rgb", planarconfig="separate", tile=(16, 16))
    for name in ("unassalpha", "assocalpha", "unspecified"):
        yield f"rgba-{name}", by_tifffile(rgba, photometric="rgb", extrasamples=[name])
    yield "gray-32", by_tifffile(gray.astype(np.uint32), photometric="minisblack")
    yield "gray-float", by_tifffile(gray.astype(np.float32), photometric="minisblack")
    yield "gray-double", by_tifffile(gray.astype(np.float64), photometric="minisblack")
    yield "gray-signed-8", by_tifffile(gray.astype(np.int8), photometric="minisblack")
    yield "gray-signed-16", by_tifffile(gray.astype(np.int16), photometric="minisblack")


def cut() -> Files:
    for compression in (None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd"):
        file = saved(RGB, compression=compression)
        for part in (0.3, 0.6, 0.95):
            yield f"cut-{compression or 'raw'}-{part}", file[: int(len(file) * part)]


def files() -> Files:
    for group in (of_each_mode, of_each_orientation, from_tifffile, cut):
        yield from group()
