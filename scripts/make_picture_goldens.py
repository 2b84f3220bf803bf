"""Writes what test/images/picture-goldens.test.ts compares with: small picture files of many kinds, and what Pillow makes of them.

- test/fixtures/picture-goldens/index.json: a line for each file, with the versions that they were made with;
- test/fixtures/picture-goldens/archive.gz: the files, and the first rows of pixels of those that need not be met exactly.

The files of test/fixtures/picture-cases, which were found elsewhere, are compared with, too.

Needs: pip install pillow numpy tifffile
"""

import gzip
import hashlib
import importlib
import io
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import tifffile
from PIL import Image, ImageOps, features

sys.path.insert(0, str(Path(__file__).resolve().parent))

TARGET = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "picture-goldens"
# Of large pictures so many rows are kept.
MOST_ROWS = 48
CASES = TARGET.parent / "picture-cases"
# name: where its files come from, and whether its pixels are kept, because not all decoders meet them exactly (as with JPEG in TIFF)
FORMATS = {
    "jpeg": (["jpeg"], True),
    "avif": (["avif"], True),
    "png": (["png", "png_damage"], False),
    "gif": (["gif"], False),
    "bmp": (["bmp"], False),
    "tiff": (["tiff"], False),
    "webp": (["webp"], False),
}


def pillow(file: bytes) -> Image.Image:
    """What transformers' load_image makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")


def files(format: str, modules: list[str]) -> Iterator[tuple[str, bytes]]:
    for module in modules:
        yield from importlib.import_module(f"picture_goldens.{module}").files()


def describe(file: bytes, keep_pixels: bool, archive: bytearray) -> dict[str, object]:
    try:
        picture = pillow(file)
    except Exception as error:  # noqa: BLE001 - whatever Pillow raises, it refuses the file
        return {"error": f"{type(error).__name__}: {error}".split(" <_io")[0]}
    entry: dict[str, object] = {"width": picture.width, "height": picture.height}
    entry["sha256"] = hashlib.sha256(picture.tobytes()).hexdigest()
    if keep_pixels:
        rows = picture.crop((0, 0, picture.width, min(picture.height, MOST_ROWS))).tobytes()
        entry["pixelsAt"] = archive.find(rows)
        if entry["pixelsAt"] < 0:
            entry["pixelsAt"] = len(archive)
            archive += rows
    return entry


def main() -> None:
    archive = bytearray()
    entries: list[dict[str, object]] = []
    for format, (modules, keep_pixels) in FORMATS.items():
        seen = set()
        for name, file in files(format, modules):
            if file in seen:
                continue
            seen.add(file)
            entry = {"name": f"{format}/{name}", "at": len(archive), "bytes": len(file)}
            archive += file
            entries.append(entry | describe(file, keep_pixels or "jpeg" in name, archive))
        for path in sorted((CASES / format).glob("*")):
            entry = {"name": f"{format}/{path.name}", "path": f"picture-cases/{format}/{path.name}"}
            entries.append(entry | describe(path.read_bytes(), keep_pixels, archive))
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise SystemExit(f"names that are given twice: {sorted({name for name in names if names.count(name) > 1})}")
    TARGET.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(bytes(archive), 9, mtime=0)
    (TARGET / "archive.gz").write_bytes(packed)
    versions = {"pillow": PIL.__version__, "numpy": np.__version__, "tifffile": tifffile.__version__}
    versions |= {name: features.version(name) for name in ("jpg", "zlib", "libtiff", "webp", "avif")}
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    text = f'{{"versions": {json.dumps(versions)},\n"files": [\n{lines}\n]}}\n'
    (TARGET / "index.json").write_text(text, encoding="utf-8")
    refused = sum("error" in entry for entry in entries)
    print(f"{len(entries)} files, {refused} of which Pillow refuses; {len(packed)} + {len(text)} bytes")


if __name__ == "__main__":
    main()
