"""GIF: what Pillow writes, and files made by hand: offsets, missing palettes, odd code sizes, damage before, in and after the first frame."""

import io
import struct
from collections.abc import Iterator, Sequence

from PIL import Image

from . import photograph
from .photograph import HEIGHT, RGB, WIDTH
from .png import colors

Files = Iterator[tuple[str, bytes]]
TRAILER = b";"
INDICES = bytes((x * 5 + y * 3) % 16 for y in range(HEIGHT) for x in range(WIDTH))


def screen(width: int = WIDTH, height: int = HEIGHT, count: int = 16, background: int = 0, version: bytes = b"GIF89a") -> bytes:
    flags = 0x80 | (count.bit_length() - 2) if count else 0
    return version + struct.pack("<HHBBB", width, height, flags, background, 0) + colors(count)


def lzw(indices: Sequence[int], bits: int = 4, *, end: bool = True, clear: bool = True, clear_when_full: bool = True) -> bytes:
    """LZW codes of pixels; without `clear_when_full` the full table stays in use."""
    clear_code, end_code = 1 << bits, (1 << bits) + 1
    table = {bytes([i]): i for i in range(clear_code)}
    size, following = bits + 1, clear_code + 2
    value, count, out = 0, 0, bytearray()

    def put(code: int) -> None:
        nonlocal value, count
        value |= code << count
        count += size
        while count >= 8:
            out.append(value & 255)
            value >>= 8
            count -= 8

    if clear:
        put(clear_code)
    string = b""
    for index in indices:
        longer = string + bytes([index])
        if longer in table:
            string = longer
            continue
        put(table[string])
        if following < 4096:
            table[longer] = following
            if following == 1 << size and size < 12:
                size += 1
            following += 1
        elif clear_when_full:
            put(clear_code)
            table = {bytes([i]): i for i in range(clear_code)}
            size, following = bits + 1, clear_code + 2
        string = bytes([index])
    if string:
        put(table[string])
    if end:
        # The decoder's table grows once more behind the last string.
        if following == 1 << size and size < 12:
            size += 1
        put(end_code)
    if count:
        out.append(value & 255)
    return bytes(out)


def codes(values: Sequence[int], size: int) -> bytes:
    """Codes all of one size."""
    whole = sum(value << (i * size) for i, value in enumerate(values))
    return whole.to_bytes((len(values) * size + 7) // 8, "little")


def blocks(data: bytes, size: int = 255) -> bytes:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def frame(
    indices: Sequence[int] = INDICES,
    place: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT),
    bits: int = 4,
    *,
    interlaced: bool = False,
    palette: bytes = b"",
    data: bytes | None = None,
    block: int = 255,
) -> bytes:
    flags = (0x40 if interlaced else 0) | (0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0)
    encoded = lzw(indices, bits) if data is None else data
    return b"," + struct.pack("<HHHHB", *place, flags) + palette + bytes([bits]) + blocks(encoded, block)


def control(transparent: int | None = None, disposal: int = 0) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\x04" + struct.pack("<BHB", flags, 10, transparent or 0) + b"\0"


def interlaced_order(indices: bytes, width: int, height: int) -> bytes:
    rows = [y for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for y in range(start, height, step)]
    return b"".join(indices[y * width : (y + 1) * width] for y in rows)


def written_by_pillow() -> Files:
    def saved(picture: Image.Image, **options: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, "GIF", **options)
        return out.getvalue()

    for name in ("1", "L", "LA", "P", "RGB", "RGBA"):
        for interlace in (0, 1):
            yield f"pillow-{name}{'-interlaced' if interlace else ''}", saved(photograph.mode(name), interlace=interlace)
    for count in (2, 3, 4, 8, 16, 64, 128, 256):
        yield f"pillow-{count}-colors", saved(photograph.palette(count))
    yield "pillow-transparency", saved(photograph.palette(), transparency=5)
    yield "pillow-transparency-optimized", saved(photograph.palette(), transparency=5, optimize=True)
    for disposal in range(4):
        others = [photograph.palette().rotate(180), RGB.rotate(90)]
        yield f"pillow-animated-{disposal}", saved(photograph.palette(), save_all=True, append_images=others, disposal=disposal)
        yield f"pillow-animated-rgba-{disposal}", saved(photograph.rgba(), save_all=True, append_images=others, disposal=disposal)
    yield "pillow-comment", saved(photograph.palette(), comment=b"a cat" * 200)
    noise = Image.effect_noise((97, 89), 200)
    yield "pillow-noise", saved(noise)
    yield "pillow-noise-interlaced", saved(noise, interlace=1)


def places() -> Files:
    small = INDICES[: 20 * 10]
    for name, place in (
        ("small", (0, 0, 20, 10)),
        ("offset", (9, 4, 20, 10)),
        ("beyond", (30, 20, 20, 10)),
        ("beyond-width", (30, 4, 20, 10)),
        ("beyond-height", (3, 20, 20, 10)),
        ("outside", (60, 50, 20, 10)),
    ):
        for transparent in (None, 0, 3, 200):
            suffix = "" if transparent is None else f"-transparent-{transparent}"
            before = control(transparent) if transparent is not None else b""
            yield f"frame-{name}{suffix}", screen(background=7) + before + frame(small, place) + TRAILER
        yield f"frame-{name}-local-palette", screen(background=7) + frame(small, place, palette=colors(32)[::-1]) + TRAILER
        yield f"frame-{name}-no-palette", screen(count=0) + control(3) + frame(small, place) + TRAILER
        order = interlaced_order(small, 20, 10)
        yield f"frame-{name}-interlaced", screen() + frame(order, place, interlaced=True) + TRAILER
    for size in ((0, 0), (0, 5), (5, 0), (5, 5), (60, 50)):
        yield f"screen-{size[0]}x{size[1]}", screen(*size) + frame() + TRAILER
    for place in ((0, 0, 0, HEIGHT), (0, 0, WIDTH, 0), (0, 0, 0, 0)):
        yield f"frame-size-{place[2]}x{place[3]}", screen() + frame(place=place) + TRAILER
    for height in range(1, 10):
        order = interlaced_order(INDICES, 3, height)
        yield f"interlaced-3x{height}", screen(3, height) + frame(order, (0, 0, 3, height), interlaced=True) + TRAILER
    yield "screen-0x0-frame-0x0", screen(0, 0) + frame(b"", (0, 0, 0, 0)) + TRAILER


def palettes() -> Files:
    yield "no-palette", screen(count=0) + frame() + TRAILER
    yield "no-palette-background", screen(count=0, background=9) + frame(INDICES[:200], (5, 5, 20, 10)) + TRAILER
    yield "local-palette", screen(count=0) + frame(palette=colors(16)) + TRAILER
    yield "both-palettes", screen() + frame(palette=colors(32)[::-1]) + TRAILER
    yield "index-beyond-palette", screen(count=4) + frame() + TRAILER
    yield "index-beyond-local-palette", screen() + frame(palette=colors(4)) + TRAILER
    yield "transparent", screen() + control(3) + frame() + TRAILER
    yield "transparent-no-palette", screen(count=0) + control(3) + frame() + TRAILER
    gray = bytes(v for i in range(16) for v in (i, i, i))
    for name, palette in (("gray", gray), ("gray-but-one", gray[:-1] + b"\0")):
        head = screen(count=0)[:10] + bytes([0x83, 0, 0]) + palette
        yield f"palette-{name}", head + frame() + TRAILER
        yield f"palette-{name}-small", head + control(200) + frame(INDICES[:200], (5, 5, 20, 10)) + TRAILER
        yield f"palette-{name}-high-indices", head + frame(bytes(i * 7 % 256 for i in range(WIDTH * HEIGHT)), bits=8) + TRAILER
        yield f"local-palette-{name}", screen() + frame(palette=palette) + TRAILER
    yield "high-indices", screen(count=64) + frame(bytes(i * 7 % 256 for i in range(WIDTH * HEIGHT)), bits=8) + TRAILER
    yield "palette-cut", screen(count=256)[:400]


def code_sizes() -> Files:
    for bits in range(1, 9):
        pixels = bytes(i % 2**bits for i in INDICES)
        yield f"code-size-{bits}", screen(count=256) + frame(pixels, bits=bits) + TRAILER
    for bits in (9, 10, 11):
        wide = codes([1 << bits, *[i if i < 256 else 0 for i in INDICES[:200]]], bits + 1)
        yield f"code-size-{bits}", screen(20, 10) + frame(place=(0, 0, 20, 10), bits=bits, data=wide) + TRAILER
    wide = codes([1 << 9, 300, 511, 256, 7, 300, 2, 1, 0], 10)
    yield "code-size-9-high-literals", screen(3, 3, 256) + frame(place=(0, 0, 3, 3), bits=9, data=wide) + TRAILER
    for bits in (0, 12, 13, 200):
        yield f"code-size-{bits}", screen(3, 3) + frame(place=(0, 0, 3, 3), bits=bits, data=bytes(30)) + TRAILER
    yield "code-size-0-codes", screen(3, 3) + frame(place=(0, 0, 3, 3), bits=0, data=codes([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1)) + TRAILER
    # Twelve bits: the codes are of thirteen, and the table is full from the start.
    for name, values in (("plain", [4096, 5, 6, 7, 8, 9]), ("above", [4096, 5, 4098, 4099, 7, 8]), ("large", [4096, 5, 4000, 9, 7, 300])):
        data = codes(values, 13)
        yield f"code-size-12-{name}", screen(5, 1) + frame(place=(0, 0, 5, 1), bits=12, data=data) + TRAILER
    noise = Image.effect_noise((97, 89), 200).tobytes()
    for name, options in (("full-table", {"clear_when_full": False}), ("no-clear-first", {"clear": False})):
        yield f"lzw-{name}", screen(97, 89, 256) + frame(noise, (0, 0, 97, 89), 8, data=lzw(noise, 8, **options)) + TRAILER
    for size in (1, 2, 254):
        yield f"blocks-of-{size}", screen() + frame(block=size) + TRAILER


def lzw_damage() -> Files:
    whole = lzw(INDICES)
    place = (0, 0, WIDTH, HEIGHT)
    yield "lzw-no-end", screen() + frame(data=lzw(INDICES, end=False)) + TRAILER
    yield "lzw-no-end-no-trailer", screen() + frame(data=lzw(INDICES, end=False))[:-1]
    yield "lzw-end-early", screen() + frame(INDICES[:-40]) + TRAILER
    yield "lzw-end-at-once", screen() + frame(b"") + TRAILER
    yield "lzw-end-early-more-blocks", screen() + frame(data=lzw(INDICES[:-40]) + bytes(40)) + TRAILER
    yield "lzw-cut", screen() + frame(data=whole[:-20]) + TRAILER
    yield "lzw-cut-no-trailer", (screen() + frame())[:-30]
    yield "lzw-cut-last-byte", (screen() + frame())[:-2]
    yield "lzw-no-terminator", (screen() + frame())[:-1]
    yield "lzw-too-many-pixels", screen() + frame(INDICES + INDICES) + TRAILER
    yield "lzw-two-more-pixels", screen() + frame(INDICES + b"\1\2") + TRAILER
    yield "lzw-empty", screen() + frame(data=b"") + TRAILER
    for name, values in (
        ("self", [16, 18, 18, 18]),
        ("next-first", [16, 17]),
        ("next", [16, 3, 18, 19, 20, 21]),
        ("beyond-next", [16, 3, 19, 3]),
        ("end-first", [17, 3, 3, 3]),
        ("no-clear", [3, 3, 3, 3, 3, 3]),
        ("clears", [16, 16, 16, 3, 16, 4, 16, 16, 5, 6, 7, 8, 9, 1, 2]),
        ("clear-then-string", [16, 3, 18, 16, 18, 3]),
    ):
        for size in ((2, 2), (3, 1), (5, 3)):
            name_of = f"lzw-codes-{name}-{size[0]}x{size[1]}"
            yield name_of, screen(*size) + frame(place=(0, 0, *size), data=codes(values, 5)) + TRAILER
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0x5A
    yield "lzw-damaged", screen() + frame(place=place, data=bytes(damaged)) + TRAILER
    long_run = bytes(300 * 300)
    yield "lzw-long-strings", screen(300, 300, 2) + frame(long_run, (0, 0, 300, 300), 2) + TRAILER
    yield "lzw-strings-over-rows", screen(3, 999) + frame(bytes(2997), (0, 0, 3, 999), 2) + TRAILER


def extensions() -> Files:
    for name, data in (
        ("comment", b"!\xfe" + blocks(b"a cat")),
        ("comment-empty", b"!\xfe\0"),
        ("application", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"),
        ("application-short", b"!\xff\x03abc\0"),
        ("xmp", b"!\xff\x0bXMP DataXMP" + blocks(photograph.xmp(6))),
        ("plain-text", b"!\x01\x0c" + struct.pack("<HHHHBBBB", 0, 0, 9, 9, 8, 8, 1, 0) + blocks(b"text")),
        ("unknown", b"!\x99" + blocks(b"who knows")),
        ("unknown-empty", b"!\x99\0"),
        ("control-5", b"!\xf9\x05" + struct.pack("<BHBB", 1, 10, 3, 9) + b"\0"),
        ("control-4-blocks", b"!\xf9\x04" + struct.pack("<BHB", 1, 10, 3) + blocks(b"more")),
        ("control-3", b"!\xf9\x03\0\x0a\0\0"),
        ("control-3-transparent", b"!\xf9\x03\x01\x0a\0\0"),
        ("control-1", b"!\xf9\x01\0\0"),
        ("control-empty", b"!\xf9\0"),
        ("control-twice", control(3) + control(5)),
        ("control-then-none", control(3) + control()),
        ("zero-bytes", bytes(9)),
        ("letters", b"abcdef"),
        ("trailer-first", b";"),
        ("extension-cut", b"!"),
    ):
        yield f"before-{name}", screen() + data + frame(INDICES[:200], (5, 5, 20, 10)) + TRAILER
    for name, data in (
        ("nothing", b""),
        ("garbage", b"these are bytes that mean nothing"),
        ("zeros", bytes(20)),
        ("trailing", TRAILER + b"more"),
        ("frame-cut", frame()[:40]),
        ("frame-header-cut", frame()[:6]),
        ("frame-damaged", frame(data=codes([16, 18, 18, 18], 5)) + TRAILER),
        ("frame-larger", frame(bytes(90 * 90), (0, 0, 90, 90)) + TRAILER),
        ("extension-cut", b"!\xf9\x04\0"),
        ("control", control(3, 2) + frame() + TRAILER),
        ("plain-text", b"!\x01\x0c" + bytes(12) + blocks(b"text") + TRAILER),
    ):
        yield f"after-{name}", screen() + frame() + data
    yield "version-87a", screen(version=b"GIF87a") + frame() + TRAILER
    yield "version-87a-transparent", screen(version=b"GIF87a") + control(3) + frame() + TRAILER
    for cut in (6, 10, 13, 20):
        yield f"cut-at-{cut}", (screen() + frame())[:cut]
    yield "no-frame", screen() + TRAILER
    yield "no-frame-no-trailer", screen()
    yield "frame-header-cut", screen() + frame()[:7]
    yield "no-code-size", screen() + frame()[:10]


def files() -> Files:
    for group in (written_by_pillow, places, palettes, code_sizes, lzw_damage, extensions):
        yield from group()
