"""JPEG: what Pillow writes of each mode, sampling and kind of scan, with each orientation, and in the markers damage that is read through."""

import io
from collections.abc import Iterator

from PIL import Image, ImageCms

from . import photograph
from .photograph import RGB

Files = Iterator[tuple[str, bytes]]


def saved(picture: Image.Image = RGB, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data


def inserted(file: bytes, *segments: bytes) -> bytes:
    """The file with segments right behind its start."""
    return file[:2] + b"".join(segments) + file[2:]


def without_marker(file: bytes, marker: int) -> bytes:
    at = file.index(bytes([0xFF, marker]))
    return file[:at] + file[at + 2 + int.from_bytes(file[at + 2 : at + 4], "big") :]


def files() -> Files:
    for name in ("1", "L", "RGB", "YCbCr", "CMYK"):
        yield f"mode-{name}", saved(photograph.mode(name))
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for quality in (20, 75, 95):
            for progressive in (False, True):
                name = f"{sampling.replace(':', '')}-quality-{quality}{'-progressive' if progressive else ''}"
                yield name, saved(subsampling=sampling, quality=quality, progressive=progressive)
    for name in ("L", "CMYK"):
        yield f"progressive-{name}", saved(photograph.mode(name), progressive=True)
    yield "rgb-kept", saved(keep_rgb=True)
    yield "rgb-kept-progressive", saved(keep_rgb=True, progressive=True)
    yield "rgb-kept-no-adobe", without_marker(saved(keep_rgb=True), 0xEE)
    yield "cmyk-no-adobe", without_marker(saved(photograph.mode("CMYK")), 0xEE)
    yield "optimized", saved(optimize=True)
    yield "restarts-blocks", saved(restart_marker_blocks=1)
    yield "restarts-rows", saved(restart_marker_rows=1)
    yield "comment", saved(comment=b"a cat")
    yield "dpi", saved(dpi=(300, 300))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    yield "color-profile", saved(icc_profile=exchanged)
    for orientation in photograph.orientations():
        yield f"orientation-{orientation}-exif", saved(exif=photograph.exif(orientation), subsampling=0)
        yield f"orientation-{orientation}-xmp", saved(xmp=photograph.xmp(orientation, orientation % 2 == 0), subsampling=0)
    yield "orientation-6-exif-420", saved(exif=photograph.exif(6))
    yield "orientation-6-exif-cmyk", saved(photograph.mode("CMYK"), exif=photograph.exif(6))
    yield "orientation-6-exif-gray", saved(photograph.mode("L"), exif=photograph.exif(6))
    yield "upright-exif-stale-xmp", saved(exif=photograph.exif(1), xmp=photograph.xmp(6))
    plain = saved(subsampling=0)
    yield "stray-bytes-between-segments", inserted(plain, b"\0\1\2\3")
    yield "end-between-segments", inserted(plain, b"\xff\xd9")
    yield "second-start", inserted(plain, b"\xff\xd8")
    yield "marker-without-meaning", inserted(plain, b"\xff\xf0")
    yield "comment-of-no-length", inserted(plain, b"\xff\xfe\0\0")
    yield "scan-behind-the-last", plain[:-2] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + plain[-2:]
    progressive = saved(progressive=True)
    scans = [at for at in range(len(progressive)) if progressive[at : at + 2] == b"\xff\xda"]
    for kept in (1, 4, len(scans) - 1):
        yield f"scans-{kept}", progressive[: scans[kept]] + b"\xff\xd9"
    yield "restarts-progressive", saved(progressive=True, restart_marker_blocks=3)
    restarts = saved(restart_marker_blocks=4)
    yield "restart-missing", restarts.replace(b"\xff\xd0", b"", 1)
    yield "fill-bytes", inserted(plain, b"\xff\xff\xff")
    yield "stray-bytes-at-end", plain[:-2] + b"\x12\x34\xff\xd9"
    yield "trailing-bytes", plain + b"more bytes"
    yield "trailing-picture", plain + saved(photograph.mode("L"))
    yield "no-end", plain[:-2]
    yield "cut-half", plain[: len(plain) // 2]
    yield "unknown-segments", inserted(plain, segment(0xE5, b"who knows"), segment(0xFE, b""))
