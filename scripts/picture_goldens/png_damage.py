"""PNG files with something wrong, most of which Pillow reads."""

import struct
import zlib

from . import photograph
from .photograph import HEIGHT, WIDTH
from .png import DEPTHS, END, SIGNATURE, Files, assemble, chunk, colors, header, picture_data, plain, plte

RGB8 = picture_data(8, 2, False)
STRIDE = 1 + 3 * WIDTH
IHDR = chunk(b"IHDR", header(8, 2))
DATA = zlib.compress(RGB8, 9)


def stored(data: bytes, *, last: bool = True) -> bytes:
    """A deflate block that is not compressed."""
    return bytes([int(last)]) + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data


def stream(raw: bytes, checksum: int | None = None) -> bytes:
    return b"\x78\x01" + stored(raw) + struct.pack(">I", zlib.adler32(raw) if checksum is None else checksum)


def with_data(*pieces: bytes, depth: int = 8, color: int = 2, interlaced: bool = False) -> bytes:
    data = [chunk(b"IDAT", piece) for piece in pieces]
    return assemble(chunk(b"IHDR", header(depth, color, int(interlaced))), plte(depth, color), *data, END)


def bad(kind: bytes, data: bytes) -> bytes:
    return chunk(kind, data, zlib.crc32(kind + data) ^ 0x1234)


def checksums() -> Files:
    yield "crc-idat", assemble(IHDR, bad(b"IDAT", DATA), END)
    yield "crc-idat-interlaced", assemble(
        chunk(b"IHDR", header(8, 2, 1)), bad(b"IDAT", zlib.compress(picture_data(8, 2, True))), END
    )
    yield "crc-idat-second", assemble(IHDR, chunk(b"IDAT", DATA[:90]), bad(b"IDAT", DATA[90:]), END)
    yield "crc-iend", assemble(IHDR, chunk(b"IDAT", DATA), bad(b"IEND", b""))
    yield "crc-ihdr", assemble(bad(b"IHDR", header(8, 2)), chunk(b"IDAT", DATA), END)
    palette_data = zlib.compress(picture_data(8, 3, False))
    palette_header = chunk(b"IHDR", header(8, 3))
    yield "crc-plte", assemble(palette_header, bad(b"PLTE", colors(256)), chunk(b"IDAT", palette_data), END)
    yield "crc-text-before", plain(before=bad(b"tEXt", b"Title\0cat"))
    yield "crc-text-after", plain(after=bad(b"tEXt", b"Title\0cat"))
    yield "crc-unknown-before", plain(before=bad(b"abCd", b"1234"))
    yield "crc-unknown-after", plain(after=bad(b"abCd", b"1234"))
    yield "crc-exif-after", plain(after=bad(b"eXIf", photograph.exif(6).tobytes()[6:]))
    yield "adler", with_data(stream(RGB8, 1))
    yield "adler-missing", with_data(DATA[:-4])
    yield "adler-in-next-chunk", with_data(DATA[:-4], b"\0\0\0\0")
    yield "adler-split", with_data(DATA[:-2], DATA[-2:])


def ends() -> Files:
    whole = plain()
    yield "no-iend", whole[:-12]
    yield "no-iend-crc", whole[:-4]
    yield "no-idat-crc", whole[:-16]
    yield "iend-cut", whole[:-7]
    for name, tail in (("zeros", bytes(50)), ("letters", b"trailing bytes that are no chunk at all"), ("picture", whole)):
        yield f"trailing-{name}", whole + tail
        yield f"trailing-{name}-no-iend", whole[:-12] + tail
    yield "no-idat", assemble(IHDR, END)
    yield "empty-idat", with_data(b"")
    yield "empty-idat-then-data", with_data(b"", DATA)
    yield "nothing", SIGNATURE
    yield "cut-header", whole[:20]
    for name, cut in (("half", len(DATA) // 2), ("last-byte-of-rows", len(DATA) - 8)):
        yield f"cut-zlib-{name}", with_data(DATA[:cut])
        yield f"cut-file-{name}", assemble(IHDR, chunk(b"IDAT", DATA))[: 8 + 25 + 8 + cut]


def rows() -> Files:
    for color, depths in DEPTHS.items():
        for depth in (depths[0], depths[-1]):
            for interlaced in (False, True):
                raw = picture_data(depth, color, interlaced)
                name = f"color-{color}-depth-{depth}{'-interlaced' if interlaced else ''}"

                def file(data: bytes) -> bytes:
                    return with_data(data, depth=depth, color=color, interlaced=interlaced)

                yield f"extra-rows-{name}", file(zlib.compress(raw + raw[: len(raw) // HEIGHT * 2]))
                row = len(raw) // HEIGHT if not interlaced else 0
                if row:
                    yield f"missing-rows-{name}", file(zlib.compress(raw[: row * 15]))
                yield f"cut-stream-{name}", file(zlib.compress(raw)[:-30])
                yield f"part-of-row-{name}", file(zlib.compress(raw[:-1]))
                yield f"zlib-trailing-{name}", file(zlib.compress(raw) + b"more bytes")
    seven = picture_data(8, 2, True)
    first_pass = 3 * (1 + 3 * 5)  # three rows of five pixels
    yield "missing-passes", with_data(zlib.compress(seven[:first_pass]), interlaced=True)
    yield "missing-part-of-pass", with_data(zlib.compress(seven[: 1 + 3 * 5]), interlaced=True)
    yield "no-rows", with_data(zlib.compress(b""))
    yield "one-row", with_data(zlib.compress(RGB8[:STRIDE]))
    yield "one-row-stored", with_data(stream(RGB8[:STRIDE]))
    yield "missing-rows-bad-adler", with_data(stream(RGB8[: STRIDE * 4], 7))
    yield "missing-rows-adler-in-next-chunk", with_data(zlib.compress(RGB8[: STRIDE * 4])[:-4], zlib.compress(RGB8[: STRIDE * 4])[-4:])
    yield "missing-rows-more-after", with_data(zlib.compress(RGB8[: STRIDE * 4]) + b"more")
    yield "missing-rows-next-chunk-after", with_data(zlib.compress(RGB8[: STRIDE * 4]), b"more")
    yield "extra-rows-bad-adler", with_data(stream(RGB8 + bytes(STRIDE), 7))
    yield "extra-rows-damaged", with_data(zlib.compress(RGB8, 0)[:-4].replace(b"\x01", b"\x00", 0) + b"\xff" * 20)
    yield "filter-5", with_data(zlib.compress(RGB8[: STRIDE * 3] + b"\5" + RGB8[STRIDE * 3 + 1 :]))
    yield "filter-255-in-extra-row", with_data(zlib.compress(RGB8 + b"\xff" * STRIDE))
    yield "zlib-header", with_data(b"\x79" + DATA[1:])
    yield "zlib-window-too-small", with_data(b"\x18\x19" + DATA[2:])
    yield "zlib-dictionary", with_data(b"\x78\xbb\0\0\0\0" + DATA[2:])
    middle = len(DATA) // 2
    yield "zlib-damaged", with_data(DATA[:middle] + bytes(20) + DATA[middle + 20 :])


def palettes() -> Files:
    for depth in DEPTHS[3]:
        data = chunk(b"IDAT", zlib.compress(picture_data(depth, 3, False)))
        ihdr = chunk(b"IHDR", header(depth, 3))
        for count in sorted({0, 1, 2**depth // 2}):
            yield f"palette-of-{count}-depth-{depth}", assemble(ihdr, chunk(b"PLTE", colors(count)), data, END)
            trns = chunk(b"tRNS", bytes([0, 255, 9]))
            yield f"palette-of-{count}-depth-{depth}-trns", assemble(ihdr, chunk(b"PLTE", colors(count)), trns, data, END)
        yield f"palette-missing-depth-{depth}", assemble(ihdr, data, END)
        yield f"palette-longer-depth-{depth}", assemble(ihdr, chunk(b"PLTE", colors(2**depth)[: 3 * 200] + colors(30)), data, END)
    data = chunk(b"IDAT", zlib.compress(picture_data(8, 3, False)))
    ihdr = chunk(b"IHDR", header(8, 3))
    yield "palette-of-257", assemble(ihdr, chunk(b"PLTE", colors(257)), data, END)
    yield "palette-and-a-byte", assemble(ihdr, chunk(b"PLTE", colors(256) + b"x"), data, END)
    yield "palette-part-of-color", assemble(ihdr, chunk(b"PLTE", colors(4)[:-1]), data, END)
    yield "palette-of-257-then-of-256", assemble(ihdr, chunk(b"PLTE", colors(257)), chunk(b"PLTE", colors(256)), data, END)
    yield "palette-twice-whole", assemble(ihdr, chunk(b"PLTE", colors(256)[::-1]), chunk(b"PLTE", colors(256)), data, END)
    yield "palette-twice", assemble(ihdr, chunk(b"PLTE", colors(4)), chunk(b"PLTE", colors(200)), data, END)
    yield "palette-after-data", assemble(ihdr, data, chunk(b"PLTE", colors(256)), END)
    yield "palette-in-rgb", plain(before=chunk(b"PLTE", colors(9)))
    yield "palette-in-gray", plain(8, 0, before=chunk(b"PLTE", colors(9)))
    yield "palette-before-header", assemble(chunk(b"PLTE", colors(256)), ihdr, data, END)
    yield "trns-longer-than-palette", plain(2, 3, before=chunk(b"tRNS", bytes(200)))
    yield "trns-empty", plain(8, 3, before=chunk(b"tRNS", b""))
    yield "trns-short-gray", plain(8, 0, before=chunk(b"tRNS", b"\0"))
    yield "trns-short-rgb", plain(8, 2, before=chunk(b"tRNS", b"\0\1"))
    yield "trns-short-gray-after", plain(8, 0, after=chunk(b"tRNS", b"\0"))
    yield "trns-out-of-range", plain(8, 0, before=chunk(b"tRNS", b"\x7f\x01"))
    yield "trns-in-rgba", plain(8, 6, before=chunk(b"tRNS", b"\0"))


def chunks() -> Files:
    text = chunk(b"tEXt", b"Title\0cat")
    yield "many-chunks", plain(before=text * 3000, after=text * 500)
    yield "many-data-chunks", with_data(*[DATA[i : i + 1] for i in range(len(DATA))])
    bomb = zlib.compress(bytes(3_000_000), 9)
    for where in ("before", "after"):
        yield f"text-bomb-{where}", plain(**{where: chunk(b"zTXt", b"Title\0\0" + bomb)})
        yield f"itxt-bomb-{where}", plain(**{where: chunk(b"iTXt", b"Title\0\1\0\0\0" + bomb)})
        yield f"text-unknown-compression-{where}", plain(**{where: chunk(b"zTXt", b"Title\0\1abc")})
        yield f"text-damaged-{where}", plain(**{where: chunk(b"zTXt", b"Title\0\0abc")})
    yield "profile-bomb", plain(before=chunk(b"iCCP", b"icc\0\0" + bomb))
    yield "profile-damaged", plain(before=chunk(b"iCCP", b"icc\0\0abcdef"))
    yield "profile-unknown-compression", plain(before=chunk(b"iCCP", b"icc\0\1abcdef"))
    yield "gamma", plain(before=chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "gamma-short", plain(before=chunk(b"gAMA", b"\0"))
    yield "srgb-empty", plain(before=chunk(b"sRGB", b""))
    yield "phys-short", plain(before=chunk(b"pHYs", b"\0\0"))
    yield "chrm-odd", plain(before=chunk(b"cHRM", b"\0\0\0\1\0"))
    yield "sbit", plain(before=chunk(b"sBIT", b"\5\5\5"))
    yield "background", plain(8, 6, before=chunk(b"bKGD", bytes([0, 255, 0, 0, 0, 255])))
    yield "unknown-critical", plain(before=chunk(b"ABCD", b"1234"))
    yield "unknown-name", plain(before=chunk(b"a\xffcd", b"1234"))
    yield "unknown-name-after", plain(after=chunk(b"a\xffcd", b"1234"))
    yield "header-twice", assemble(chunk(b"IHDR", header(8, 0, 0, (5, 5))), IHDR, chunk(b"IDAT", DATA), END)
    yield "header-longer", assemble(chunk(b"IHDR", header(8, 2) + b"abc"), chunk(b"IDAT", DATA), END)
    yield "header-shorter", assemble(chunk(b"IHDR", header(8, 2)[:12]), chunk(b"IDAT", DATA), END)
    yield "header-not-first", assemble(text, IHDR, chunk(b"IDAT", DATA), END)
    yield "header-missing", assemble(chunk(b"IDAT", DATA), END)
    for name, at, value in (("compression", 10, 1), ("filter-method", 11, 1), ("interlace-2", 12, 2), ("depth-3", 8, 3), ("color-1", 9, 1)):
        damaged = bytearray(header(8, 2))
        damaged[at] = value
        yield f"header-{name}", assemble(chunk(b"IHDR", bytes(damaged)), chunk(b"IDAT", DATA), END)
    for size in ((0, HEIGHT), (WIDTH, 0)):
        yield f"size-{size[0]}x{size[1]}", assemble(chunk(b"IHDR", header(8, 2, 0, size)), chunk(b"IDAT", DATA), END)
    yield "data-interrupted", assemble(IHDR, chunk(b"IDAT", DATA[:99]), text, chunk(b"IDAT", DATA[99:]), END)
    yield "data-interrupted-after-rows", assemble(IHDR, chunk(b"IDAT", DATA[:-2]), text, chunk(b"IDAT", DATA[-2:]), END)
    yield "length-too-large", plain()[:33] + struct.pack(">I", 2**31 - 1) + plain()[37:]
    yield "text-length-too-large", plain(before=text)[:33] + struct.pack(">I", 2**31 - 1) + plain(before=text)[37:]
    yield "text-length-too-large-after", plain()[:-12] + struct.pack(">I", 10**6) + b"tEXtTitle\0cat"


def frame_control(sequence: int, width: int, height: int, x: int = 0, y: int = 0, dispose: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, height, x, y, 1, 10, dispose, 0))


def animations() -> Files:
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    small = zlib.compress(picture_data(8, 2, False, size=(20, 10)))
    yield "apng-small-frame", assemble(IHDR, control, frame_control(0, 20, 10, 3, 5), chunk(b"IDAT", small), END)
    for dispose in (0, 1, 2):
        yield f"apng-dispose-{dispose}", assemble(
            IHDR, control, frame_control(0, WIDTH, HEIGHT, dispose=dispose), chunk(b"IDAT", DATA), END
        )
    yield "apng-frame-too-large", assemble(IHDR, control, frame_control(0, 38, 10), chunk(b"IDAT", small), END)
    yield "apng-sequence", assemble(IHDR, control, frame_control(1, WIDTH, HEIGHT), chunk(b"IDAT", DATA), END)
    yield "apng-control-short", assemble(IHDR, control, chunk(b"fcTL", bytes(20)), chunk(b"IDAT", DATA), END)
    yield "apng-no-animation-control", assemble(IHDR, frame_control(0, 20, 10), chunk(b"IDAT", small), END)
    yield "apng-animation-control-short", assemble(IHDR, chunk(b"acTL", b"\0"), chunk(b"IDAT", DATA), END)
    yield "apng-no-frames", assemble(IHDR, chunk(b"acTL", bytes(8)), chunk(b"IDAT", DATA), END)
    frame = chunk(b"fdAT", struct.pack(">I", 1) + DATA)
    yield "apng-data-without-default", assemble(IHDR, control, frame_control(0, WIDTH, HEIGHT), frame, END)
    two = chunk(b"acTL", struct.pack(">II", 2, 0))
    second = frame_control(1, WIDTH, HEIGHT)
    later = chunk(b"fdAT", struct.pack(">I", 2) + DATA[:50])
    first = frame_control(0, WIDTH, HEIGHT)
    yield "apng-second-frame-cut", assemble(IHDR, two, first, chunk(b"IDAT", DATA), second, later, END)
    yield "apng-second-frame-too-large", assemble(
        IHDR, two, first, chunk(b"IDAT", DATA), frame_control(1, 99, 99), later, END
    )


def orientations() -> Files:
    upright, turned = photograph.exif(1).tobytes(), photograph.exif(6).tobytes()
    text = chunk(b"tEXt", b"Raw profile type exif\0" + photograph.raw_profile(turned).encode())
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photograph.xmp(3))
    yield "exif-after-data", plain(after=chunk(b"eXIf", turned[6:]))
    yield "exif-with-header", plain(before=chunk(b"eXIf", turned))
    yield "exif-twice", plain(before=chunk(b"eXIf", turned[6:]), after=chunk(b"eXIf", upright[6:]))
    yield "exif-empty", plain(before=chunk(b"eXIf", b""))
    yield "exif-empty-xmp", plain(before=chunk(b"eXIf", b"") + xmp)
    yield "exif-before-profile", plain(before=chunk(b"eXIf", upright[6:]) + text)
    yield "profile-before-xmp", plain(before=text + xmp)
    yield "xmp-after-data", plain(after=xmp)
    yield "xmp-in-text", plain(before=chunk(b"tEXt", b"XML:com.adobe.xmp\0" + photograph.xmp(6)))
    yield "xmp-in-compressed-text", plain(before=chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(photograph.xmp(6))))
    yield "xmp-not-utf-8", plain(before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff" + photograph.xmp(6)))
    yield "xmp-orientation-9", plain(before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photograph.xmp(9)))
    yield "exif-in-text", plain(before=chunk(b"tEXt", b"exif\0" + turned))
    itxt = b"Raw profile type exif\0\0\0\0\0" + photograph.raw_profile(turned).encode()
    yield "profile-in-itxt", plain(before=chunk(b"iTXt", itxt))
    yield "profile-upper-case", plain(before=chunk(b"tEXt", b"Raw profile type exif\0" + photograph.raw_profile(turned).upper().encode()))
    yield "profile-not-hex", plain(before=chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 3\nxyz\n"))
    yield "profile-app1", plain(before=chunk(b"tEXt", b"Raw profile type APP1\0" + photograph.raw_profile(turned).encode()))


def files() -> Files:
    for group in (checksums, ends, rows, palettes, chunks, animations, orientations):
        yield from group()
