"""PNG: what Pillow writes, and what it does not: interlacing, every depth, damage that it reads through."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

from PIL import Image, PngImagePlugin

from . import photograph
from .photograph import HEIGHT, RGB, WIDTH

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

Files = Iterator[tuple[str, bytes]]


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def header(depth: int, color: int, interlaced: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    return struct.pack(">IIBBBBB", *size, depth, color, 0, 0, interlaced)


def assemble(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def sample(x: int, y: int, c: int, depth: int) -> int:
    """Of the photograph where there are enough bits; 16 bits have values on both sides of 255."""
    level = RGB.getpixel((x, y))[c % 3] if c < 3 else (x * 7 + y) % 256
    if depth == 16:
        return (level << 8 | (level * 7 + x) % 256) if (x + y) % 2 else level + (x * 3 if c == 0 else 0)
    return level >> (8 - depth)


def filtered(rows: Sequence[bytes], bytes_per_pixel: int, kinds: Sequence[int]) -> bytes:
    """Each row by the next kind of filter."""
    out = bytearray()
    above = bytes(len(rows[0])) if rows else b""
    for index, row in enumerate(rows):
        kind = kinds[index % len(kinds)]
        out.append(kind)
        for i, value in enumerate(row):
            a = row[i - bytes_per_pixel] if i >= bytes_per_pixel else 0
            b = above[i]
            c = above[i - bytes_per_pixel] if i >= bytes_per_pixel else 0
            p = a + b - c
            paeth = min((abs(p - v), order, v) for order, v in enumerate((a, b, c)))[2]
            out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        above = row
    return bytes(out)


def packed(values: Sequence[int], depth: int) -> bytes:
    bits = "".join(format(v, f"0{depth}b") for v in values)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


def pixel_rows(depth: int, color: int, value: Callable[[int, int, int], int], step=(0, 0, 1, 1), size=(WIDTH, HEIGHT)) -> list[bytes]:
    x0, y0, dx, dy = step
    rows = []
    for y in range(y0, size[1], dy):
        values = [value(x, y, c) for x in range(x0, size[0], dx) for c in range(SAMPLES[color])]
        if values:
            rows.append(packed(values, depth))
    return rows


def picture_data(depth: int, color: int, interlaced: bool, kinds=(0, 1, 2, 3, 4), size=(WIDTH, HEIGHT)) -> bytes:
    def value(x: int, y: int, c: int) -> int:
        if color == 3:
            return (x * 5 + y * 3) % 2**depth
        if color == 4 and c == 1:
            return sample(x, y, 3, depth)
        return sample(x, y, c, depth)

    bytes_per_pixel = max(1, depth * SAMPLES[color] // 8)
    steps = PASSES if interlaced else ((0, 0, 1, 1),)
    return b"".join(filtered(pixel_rows(depth, color, value, step, size), bytes_per_pixel, kinds) for step in steps)


def colors(count: int) -> bytes:
    generator = random.Random(5)
    return bytes(generator.randrange(256) for _ in range(3 * count))


def plte(depth: int, color: int) -> bytes:
    return chunk(b"PLTE", colors(2**depth)) if color == 3 else b""


END = chunk(b"IEND", b"")


def plain(depth: int = 8, color: int = 2, interlaced: bool = False, before: bytes = b"", after: bytes = b"", kinds=(0, 1, 2, 3, 4)) -> bytes:
    data = zlib.compress(picture_data(depth, color, interlaced, kinds), 9)
    return assemble(
        chunk(b"IHDR", header(depth, color, int(interlaced))), plte(depth, color), before, chunk(b"IDAT", data), after, END
    )


def kinds_of_pixels() -> Files:
    for color, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                name = f"color-{color}-depth-{depth}{'-interlaced' if interlaced else ''}"
                yield name, plain(depth, color, interlaced)
                if color in (0, 2):
                    key = struct.pack(">H" if color == 0 else ">HHH", *[sample(3, 3, c, depth) for c in range(SAMPLES[color])])
                    yield f"{name}-trns", plain(depth, color, interlaced, before=chunk(b"tRNS", key))
                if color == 3:
                    yield f"{name}-trns", plain(depth, color, interlaced, before=chunk(b"tRNS", bytes([255, 0])))
                    yield f"{name}-trns-alphas", plain(depth, color, interlaced, before=chunk(b"tRNS", bytes([9, 120])))
    for kind in range(5):
        yield f"filter-{kind}", plain(8, 2, kinds=(kind,))
        yield f"filter-{kind}-gray-4", plain(4, 0, kinds=(kind,))
        yield f"filter-{kind}-rgba-16-interlaced", plain(16, 6, True, kinds=(kind,))
    for size in ((1, 1), (1, 9), (9, 1), (2, 5), (4, 3), (5, 4), (8, 8)):
        for depth, color in ((1, 0), (8, 2), (16, 6)):
            for interlaced in (False, True):
                data = zlib.compress(picture_data(depth, color, interlaced, size=size))
                name = f"size-{size[0]}x{size[1]}-color-{color}-depth-{depth}{'-interlaced' if interlaced else ''}"
                yield name, assemble(chunk(b"IHDR", header(depth, color, int(interlaced), size)), chunk(b"IDAT", data), END)


def written_by_pillow() -> Files:
    def saved(picture: Image.Image, **options: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, "PNG", **options)
        return out.getvalue()

    for name in ("1", "L", "LA", "I", "I;16", "I;16B", "P", "RGB", "RGBA"):
        yield f"pillow-{name.replace(';', '-')}", saved(photograph.mode(name))
    for level in (0, 1, 9):
        yield f"pillow-level-{level}", saved(RGB, compress_level=level)
    for bits in (1, 2, 4, 8):
        yield f"pillow-P-{bits}", saved(photograph.palette(2**bits), bits=bits)
    yield "pillow-P-transparency", saved(photograph.palette(), transparency=3)
    yield "pillow-L-transparency", saved(photograph.mode("L"), transparency=100)
    yield "pillow-RGB-transparency", saved(RGB, transparency=RGB.getpixel((0, 0)))
    turned = [RGB.rotate(180)]
    yield "animated", saved(RGB, save_all=True, append_images=turned, duration=100)
    yield "animated-default-image", saved(RGB, save_all=True, append_images=turned, default_image=True)
    yield "animated-palette", saved(photograph.palette(), save_all=True, append_images=[photograph.palette().rotate(180)])
    for orientation in photograph.orientations():
        exif, raw = photograph.exif(orientation), photograph.exif(orientation).tobytes()
        yield f"orientation-{orientation}-exif", saved(RGB, exif=exif)
        for name, compressed in (("tEXt", False), ("zTXt", True)):
            info = PngImagePlugin.PngInfo()
            info.add_text("Raw profile type exif", photograph.raw_profile(raw), zip=compressed)
            yield f"orientation-{orientation}-profile-{name}", saved(RGB, pnginfo=info)
        for element in (False, True):
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", photograph.xmp(orientation, element), zip=element)
            yield f"orientation-{orientation}-xmp-{'element' if element else 'attribute'}", saved(RGB, pnginfo=info)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", photograph.xmp(6))
    yield "upright-exif-stale-xmp", saved(RGB, exif=photograph.exif(1), pnginfo=info)
    yield "palette-turned", saved(photograph.palette(), exif=photograph.exif(6))
    yield "gray-16-turned", saved(photograph.gray_16(), exif=photograph.exif(5))


def files() -> Files:
    yield from kinds_of_pixels()
    yield from written_by_pillow()
