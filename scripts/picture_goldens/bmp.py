"""BMP: what Pillow writes, and by hand: every depth and header, masks, run lengths with damage, offsets, short palettes, cut files."""

import io
import random
import struct
from collections.abc import Iterator, Sequence

from PIL import Image

from . import photograph
from .photograph import HEIGHT, RGB, WIDTH

Files = Iterator[tuple[str, bytes]]
INDICES = bytes((x * 5 + y * 3) % 256 for y in range(HEIGHT) for x in range(WIDTH))


def bmp(
    bits: int,
    rows: bytes,
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    header: int = 40,
    compression: int = 0,
    palette: bytes = b"",
    colors: int = 0,
    masks: Sequence[int] = (),
    gap: int = 0,
    offset: int | None = None,
    planes: int = 1,
) -> bytes:
    if header == 12:
        info = struct.pack("<IHHHH", 12, size[0], size[1], planes, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, *size, planes, bits, compression, len(rows), 2835, 2835, colors, 0)
        inside = b"".join(struct.pack("<I", mask) for mask in masks)
        info = (info + inside)[: max(header, 40 + len(inside))].ljust(header, b"\0")
    begin = 14 + len(info) + len(palette) + gap if offset is None else offset
    whole = 14 + len(info) + len(palette) + gap + len(rows)
    return struct.pack("<2sIHHI", b"BM", whole, 0, 0, begin) + info + palette + b"\xaa" * gap + rows


def colors(count: int, entry: int = 4) -> bytes:
    generator = random.Random(6)
    return b"".join(bytes(generator.randrange(256) for _ in range(3)) + bytes(entry - 3) for _ in range(count))


def grays(count: int, entry: int = 4) -> bytes:
    levels = (0, 255) if count == 2 else range(count)
    return b"".join(bytes([level] * 3) + bytes(entry - 3) for level in levels)


def packed_rows(bits: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    out = b""
    for y in range(size[1]):
        values = [INDICES[(y * WIDTH + x) % len(INDICES)] % 2**bits for x in range(size[0])]
        text = "".join(format(v, f"0{bits}b") for v in values)
        text += "0" * (-len(text) % 32)
        out += int(text, 2).to_bytes(len(text) // 8, "big")
    return out


def true_rows(bits: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    generator = random.Random(7)
    stride = (size[0] * bits + 31) // 32 * 4
    rows = []
    for _ in range(size[1]):
        row = bytes(generator.randrange(256) for _ in range(size[0] * bits // 8))
        rows.append(row.ljust(stride, b"\0"))
    return b"".join(rows)


def written_by_pillow() -> Files:
    for name in ("1", "L", "P", "RGB", "RGBA"):
        out = io.BytesIO()
        photograph.mode(name).save(out, "BMP")
        yield f"pillow-{name}", out.getvalue()
    for count in (2, 16, 200):
        out = io.BytesIO()
        photograph.palette(count).save(out, "BMP")
        yield f"pillow-P-{count}", out.getvalue()


def depths() -> Files:
    for header in (12, 40, 52, 56, 64, 108, 124):
        entry = 3 if header == 12 else 4
        for bits in (1, 4, 8):
            for name, palette in (("colors", colors(2**bits, entry)), ("grays", grays(2**bits, entry))):
                yield f"bits-{bits}-{name}-header-{header}", bmp(bits, packed_rows(bits), header=header, palette=palette)
        for bits in (16, 24, 32):
            yield f"bits-{bits}-header-{header}", bmp(bits, true_rows(bits), header=header)
        for bits in (8, 24):
            palette = colors(256, entry) if bits == 8 else b""
            rows = packed_rows(8) if bits == 8 else true_rows(24)
            if header != 12:
                yield f"top-down-{bits}-header-{header}", bmp(bits, rows, header=header, palette=palette, size=(WIDTH, -HEIGHT))
            yield f"gap-{bits}-header-{header}", bmp(bits, rows, header=header, palette=palette, gap=7)
            yield f"offset-0-{bits}-header-{header}", bmp(bits, rows, header=header, palette=palette, offset=0)
            yield f"offset-behind-header-{bits}-header-{header}", bmp(bits, rows, header=header, palette=palette, offset=14 + header)
    for bits in (0, 2, 3, 5, 15, 48, 64):
        yield f"bits-{bits}", bmp(bits, true_rows(64))
    for header in (8, 13, 16, 41, 63, 200, 0xFFFFFFFF):
        file = bytearray(bmp(24, true_rows(24)))
        file[14:18] = struct.pack("<I", header)
        yield f"header-{header}", bytes(file)
    for size in ((1, 1), (1, 5), (5, 1), (7, 3), (8, 2), (33, 2)):
        for bits in (1, 4):
            yield f"bits-{bits}-size-{size[0]}x{size[1]}", bmp(bits, packed_rows(bits, size), palette=colors(2**bits), size=size)
        for bits in (16, 24):
            yield f"bits-{bits}-size-{size[0]}x{size[1]}", bmp(bits, true_rows(bits, size), size=size)
    for size in ((0, 5), (5, 0), (-5, 5), (WIDTH, -(2**31))):
        yield f"size-{size[0]}x{size[1]}", bmp(24, true_rows(24), size=size)
    yield "height-most-negative-but-one", bmp(24, true_rows(24), size=(3, -(2**24)))
    yield "planes-3", bmp(24, true_rows(24), planes=3)


MASKS = {
    16: {
        "565": (0xF800, 0x7E0, 0x1F),
        "555": (0x7C00, 0x3E0, 0x1F),
        "444": (0xF00, 0xF0, 0xF),
        "bgr": (0x1F, 0x7E0, 0xF800),
        "zero": (0, 0, 0),
    },
    24: {"rgb": (0xFF0000, 0xFF00, 0xFF), "bgr": (0xFF, 0xFF00, 0xFF0000)},
    32: {
        "bgrx": (0xFF0000, 0xFF00, 0xFF, 0),
        "xbgr": (0xFF000000, 0xFF0000, 0xFF00, 0),
        "bgxr": (0xFF000000, 0xFF00, 0xFF, 0),
        "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        "bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        "bgar": (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        "zero": (0, 0, 0, 0),
        "rgbx": (0xFF, 0xFF00, 0xFF0000, 0),
        "10-bits": (0x3FF00000, 0xFFC00, 0x3FF, 0),
        "5-bits": (0xF800, 0x7E0, 0x1F, 0),
    },
    8: {"rgb": (0xE0, 0x1C, 3)},
}


def masks() -> Files:
    for bits, named in MASKS.items():
        rows = true_rows(bits)
        for name, values in named.items():
            for header in (40, 52, 56, 64, 108, 124):
                yield f"masks-{bits}-{name}-header-{header}", bmp(bits, rows, header=header, compression=3, masks=values)
            yield f"alpha-masks-{bits}-{name}", bmp(bits, rows, compression=6, masks=(*values, 0)[:4])
    yield "masks-top-down", bmp(16, true_rows(16), size=(WIDTH, -HEIGHT), compression=3, masks=MASKS[16]["565"])
    yield "masks-offset-0", bmp(16, true_rows(16), compression=3, masks=MASKS[16]["565"], offset=0)
    for compression in (4, 5, 6, 7, 11, 12, 99):
        yield f"compression-{compression}", bmp(24, true_rows(24), compression=compression)


def run_lengths() -> Files:
    def file(bits: int, data: bytes, *, top_down: bool = False, palette: bytes | None = None, **options: object) -> bytes:
        return bmp(
            bits,
            data,
            compression=1 if bits == 8 else 2,
            palette=colors(2**bits) if palette is None else palette,
            size=(20, -6 if top_down else 6),
            **options,
        )

    def rows(bits: int, end: bytes = b"\0\1") -> bytes:
        """Each row: a run, an absolute run of odd length, another run."""
        out = b""
        for y in range(6):
            absolute = bytes(range(y, y + 7)) if bits == 8 else bytes([0x12, 0x34, 0x56, 0x78])
            padding = b"\0" if bits == 8 else b""
            out += bytes([8, 0x21 + y, 0, 7]) + absolute + padding + bytes([5, 0x43 + y]) + b"\0\0"
        return out + end

    for bits in (8, 4):
        named = {
            "whole": rows(bits),
            "no-end": rows(bits, b""),
            "end-early": rows(bits)[:40] + b"\0\1",
            "cut": rows(bits)[:40],
            "cut-in-run": rows(bits)[:41],
            "cut-in-absolute": rows(bits)[:7],
            "empty": b"",
            "end-at-once": b"\0\1",
            "row-too-long": b"\x1e\x55\0\0" + rows(bits),
            "absolute-too-long": b"\0\x1e" + bytes(range(30)) + b"\0\0" + rows(bits),
            "no-ends-of-line": b"\x14\x11" * 6 + b"\0\1",
            "no-ends-of-line-uneven": b"\x0d\x12" * 12 + b"\0\1",
            "ends-of-line-only": b"\0\0" * 6 + b"\0\1",
            "short-rows": b"\x07\x31\0\0" * 6 + b"\0\1",
            "delta": b"\x04\x21\0\2\3\1\x05\x43\0\0\x06\x12\0\1",
            "delta-beyond-row": b"\x12\x21\0\2\x0a\0\x05\x43\0\1",
            "delta-beyond-picture": b"\x04\x21\0\2\3\x32\x05\x43\0\1",
            "delta-nothing": b"\x04\x21\0\2\0\0\x05\x43\0\1",
            "delta-cut": b"\x04\x21\0\2\3",
            "delta-down-only": b"\x04\x21\0\2\0\2\x05\x43\0\1",
            "more-rows": rows(bits, b"") + rows(bits),
            "runs-of-1": b"".join(bytes([1, i * 17 % 256]) for i in range(120)) + b"\0\1",
            "absolute-3": b"\0\3\x12\x34\x56\0" * 20 + b"\0\1",
            "absolute-4": b"\0\4\x12\x34\x56\x78" * 20 + b"\0\1",
            "absolute-5": b"\0\5\x12\x34\x56\x78\x9a\0" * 20 + b"\0\1",
            "absolute-6": b"\0\6\x12\x34\x56\x78\x9a\xbc" * 20 + b"\0\1",
        }
        for name, data in named.items():
            yield f"rle{bits}-{name}", file(bits, data)
        yield f"rle{bits}-top-down", file(bits, rows(bits), top_down=True)
        yield f"rle{bits}-odd-offset", file(bits, rows(bits), gap=1)
        yield f"rle{bits}-grays", file(bits, rows(bits), palette=grays(2**bits))
        yield f"rle{bits}-short-palette", file(bits, rows(bits), palette=colors(5), colors=5)
        yield f"rle{bits}-header-124", file(bits, rows(bits), header=124)
    yield "rle8-of-4-bits", bmp(4, rows(8), compression=1, palette=colors(16), size=(20, 6))
    yield "rle4-of-8-bits", bmp(8, rows(4), compression=2, palette=colors(256), size=(20, 6))
    yield "rle8-of-24-bits", bmp(24, rows(8), compression=1, size=(20, 6))


def palettes() -> Files:
    for bits in (1, 4, 8):
        for count in sorted({1, 2, 3, 2**bits - 1, 2**bits, 256, 300, 70000}):
            palette = colors(min(count, 300))
            name = f"palette-{bits}-of-{count}"
            if count in (1, 2, 3, 2**bits - 1, 2**bits) or bits == 8:
                yield name, bmp(bits, packed_rows(bits), palette=palette, colors=count)
        for count in (1, 2, 3, 16):
            yield f"grays-{bits}-of-{count}", bmp(bits, packed_rows(bits), palette=grays(count), colors=count)
        yield f"palette-{bits}-undeclared-short", bmp(bits, packed_rows(bits), palette=colors(2))
        yield f"palette-{bits}-into-pixels", bmp(bits, packed_rows(bits), palette=colors(2), colors=2**bits)
        yield f"grays-{bits}-swapped", bmp(bits, packed_rows(bits), palette=grays(2)[4:] + grays(2)[:4], colors=2)
    yield "palette-in-24-bits", bmp(24, true_rows(24), palette=colors(16), colors=16)


def cut() -> Files:
    for bits in (1, 8, 16, 24, 32):
        palette = colors(2**bits) if bits <= 8 else b""
        rows = packed_rows(bits) if bits <= 8 else true_rows(bits)
        file = bmp(bits, rows, palette=palette)
        stride = len(rows) // HEIGHT
        for name, length in (("half", len(file) - len(rows) // 2), ("byte", len(file) - 1), ("padding", len(file) - stride % 4 - 1), ("pixels", 54 + len(palette)), ("header", 40), ("info", 20)):
            yield f"cut-{bits}-{name}", file[:length]
        yield f"trailing-{bits}", file + b"more bytes"
    odd = bmp(24, true_rows(24, (5, 3)), size=(5, 3))
    for less in (1, 2):
        yield f"cut-padding-{less}", odd[:-less]
    yield "offset-beyond", bmp(24, true_rows(24), offset=10**6)
    yield "offset-in-header", bmp(24, true_rows(24) + bytes(60), offset=20)
    yield "offset-in-palette", bmp(8, packed_rows(8) + bytes(60), palette=colors(256), offset=100)


def files() -> Files:
    for group in (written_by_pillow, depths, masks, run_lengths, palettes, cut):
        yield from group()
