"""Writes test/fixtures/picture-kinds.json: small JPEG, TIFF, WebP and AVIF files of each kind, with the SHA-256 of what Pillow
makes of them (turned by exif_transpose, as RGB), or the error that it raises.

    python scripts/make_picture_kinds.py
"""

import base64
import hashlib
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps, TiffImagePlugin

warnings.simplefilter("ignore")
FIXTURES = pathlib.Path(__file__).parent.parent / "test" / "fixtures"
RNG = np.random.default_rng(15)
WIDTH, HEIGHT = 20, 14
PHOTO = Image.open(FIXTURES / "pictures" / "chelsea.png").convert("RGB").resize((WIDTH, HEIGHT))
ALPHA = Image.fromarray(RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8))
RGBA = PHOTO.copy()
RGBA.putalpha(ALPHA)
CMYK = Image.merge("CMYK", [*PHOTO.split(), ALPHA.point(lambda value: value // 3)])
files: dict[str, bytes] = {}


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def exif(entries, order="<", header=b"Exif\0\0"):
    """entries: tag, type, count, 4 bytes of value"""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", 8, len(entries))
    body = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return header + start + body + struct.pack(order + "L", 0)


def orientation(value, kind=3, form="H", order="<", count=1):
    return (274, kind, count, struct.pack(order + form, value))


XMP_6 = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
XMP_8 = b"<x:xmpmeta><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>"


def xmp(packet):
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def jpegs():
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            name = f"{sampling.replace(':', '')}{'-progressive' if progressive else ''}.jpg"
            files[name] = saved(PHOTO, "JPEG", subsampling=sampling, progressive=progressive)
    plain = saved(PHOTO, "JPEG")
    bare = plain[:2] + plain[20:]  # without JFIF
    files["gray.jpg"] = saved(PHOTO.convert("L"), "JPEG")
    files["restart.jpg"] = saved(PHOTO, "JPEG", restart_marker_blocks=1)
    files["rgb.jpg"] = saved(PHOTO, "JPEG", keep_rgb=True)
    for transform in (0, 1, 2):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        files[f"adobe-transform-{transform}.jpg"] = bare[:2] + adobe + bare[2:]
        files[f"jfif-adobe-transform-{transform}.jpg"] = plain[:20] + adobe + plain[20:]
    for ids in (b"RGB", b"\0\1\2", b"\1\2\3", b"abc"):
        data = bytearray(bare)
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        for i in range(3):
            data[frame + 10 + 3 * i] = data[scan + 5 + 2 * i] = ids[i]
        files[f"ids-{ids.hex()}.jpg"] = bytes(data)
    for progressive in (False, True):
        ending = "-progressive" if progressive else ""
        data = saved(CMYK, "JPEG", progressive=progressive)
        at = data.index(b"\xff\xee")
        end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        files[f"cmyk{ending}.jpg"] = data
        files[f"cmyk-without-adobe{ending}.jpg"] = data[:at] + data[end:]
        files[f"ycck{ending}.jpg"] = data[: at + 15] + b"\2" + data[at + 16 :]
    files["stray-bytes.jpg"] = plain[:2] + b"\xff\0\1abc" + plain[2:20] + b"xy" + plain[20:]
    files["jfif-major-2.jpg"] = plain.replace(b"JFIF\0\1\1", b"JFIF\0\2\1")
    scan = plain.index(b"\xff\xda")
    parameters = scan + 2 + struct.unpack(">H", plain[scan + 2 : scan + 4])[0] - 3
    files["scan-parameters-0.jpg"] = plain[:parameters] + b"\0\0\0" + plain[parameters + 3 :]
    files["behind-the-end.jpg"] = plain + plain
    files["cut.jpg"] = plain[:-20]
    files["cut-with-end.jpg"] = plain[:-20] + b"\xff\xd9"
    frame = plain.index(b"\xff\xc0")
    files["12-bit.jpg"] = plain[: frame + 4] + b"\x0c" + plain[frame + 5 :]
    files["lossless.jpg"] = plain[: frame + 1] + b"\xc3" + plain[frame + 2 :]


def orientations():
    plain = saved(PHOTO, "JPEG")
    long6 = orientation(6, 4, "L")
    blocks = {
        **{f"short-{value}": exif([orientation(value)]) for value in range(10)},
        "big-endian": exif([orientation(6, order=">")], ">"),
        "long": exif([long6]),
        "byte": exif([orientation(6, 1, "B")]),
        "undefined": exif([orientation(6, 7, "B")]),
        "signed-byte": exif([orientation(6, 6, "b")]),
        "signed-short": exif([orientation(6, 8, "h")]),
        "signed-long": exif([orientation(6, 9, "l")]),
        "float": exif([orientation(6, 11, "f")]),
        "negative": exif([orientation(-6, 8, "h")]),
        "count-0": exif([orientation(6, count=0)]),
        "count-2": exif([(274, 3, 2, struct.pack("<HH", 6, 3))]),
        "unknown-type": exif([orientation(6, 99)]),
        "twice-6-1": exif([orientation(6), orientation(1)]),
        "twice-1-6": exif([orientation(1), orientation(6)]),
        "twice-6-none": exif([orientation(6), orientation(1, count=0)]),
        "behind-damage": exif([(305, 2, 100_000, b"abcd"), orientation(6)]),
        "before-damage": exif([orientation(6), (305, 2, 100_000, b"abcd")]),
        "doubled-header": exif([orientation(6)], header=b"Exif\0\0Exif\0\0"),
        "cut": exif([orientation(6)])[:-8],
        "none": exif([(305, 2, 2, b"a\0")]),
        "empty": b"Exif\0\0",
    }
    for name, block in blocks.items():
        files[f"exif-{name}.jpg"] = plain[:2] + segment(0xE1, block) + plain[2:]
        if not name.startswith("short"):
            files[f"exif-{name}-xmp-6.jpg"] = plain[:2] + segment(0xE1, block) + xmp(XMP_6) + plain[2:]
    files["exif-1-xmp-6.jpg"] = plain[:2] + segment(0xE1, blocks["short-1"]) + xmp(XMP_6) + plain[2:]
    files["exif-in-two.jpg"] = (
        plain[:2] + segment(0xE1, blocks["long"][:20]) + segment(0xE1, b"Exif\0\0" + blocks["long"][20:]) + plain[2:]
    )
    files["xmp-attribute.jpg"] = plain[:2] + xmp(XMP_6) + plain[2:]
    files["xmp-element.jpg"] = plain[:2] + xmp(XMP_8) + plain[2:]
    files["xmp-twice.jpg"] = plain[:2] + xmp(XMP_6) + xmp(XMP_8) + plain[2:]
    files["xmp-9.jpg"] = plain[:2] + xmp(XMP_6.replace(b"6", b"9")) + plain[2:]
    webp = saved(PHOTO, "WEBP", lossless=True, exif=blocks["short-6"], xmp=XMP_8)
    files["exif-6-xmp-8.webp"] = webp
    files["exif-without-flag.webp"] = webp[:20] + bytes([webp[20] & ~12]) + webp[21:]
    files["xmp-flag-alone.webp"] = webp[:20] + bytes([webp[20] & ~8]) + webp[21:]
    for value in (3, 6, 7):
        turned = Image.Exif()
        turned[274] = value
        files[f"orientation-{value}.avif"] = saved(PHOTO, "AVIF", exif=turned.tobytes(), subsampling="4:4:4")
    files["xmp-6.avif"] = saved(PHOTO, "AVIF", xmp=XMP_6, subsampling="4:4:4")
    for value in (None, 1, 6):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700] = XMP_8
        tags.tagtype[700] = 1
        if value:
            tags[274] = value
        files[f"orientation-{value}-xmp-8.tif"] = saved(PHOTO, "TIFF", tiffinfo=tags)


REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def pack_bits(data):
    return b"".join(bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] for i in range(0, len(data), 128))


def lzw(data):
    codes, table, following, width, known = [(256, 9)], {bytes([i]): i for i in range(256)}, 258, 9, b""
    for value in data:
        longer = known + bytes([value])
        if longer in table:
            known = longer
            continue
        codes.append((table[known], width))
        table[longer] = following
        following += 1
        width += following in (512, 1024, 2048)
        known = bytes([value])
    codes.append((table[known], width))
    width += following + 1 in (512, 1024, 2048)
    bits = "".join(f"{code:0{size}b}" for code, size in [*codes, (257, width)])
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


COMPRESSIONS = {1: bytes, 5: lzw, 8: zlib.compress, 32773: pack_bits}
NUMPY_TYPES = {(8, 1): "u1", (8, 2): "i1", (16, 1): "u2", (16, 2): "i2", (32, 1): "u4", (32, 2): "i4", (32, 3): "f4"}


def rows_of(part, bits, number, order, predictor):
    if bits < 8:
        lines = ["".join(f"{value:0{bits}b}" for value in row.reshape(-1)) for row in part]
        padded = "".join(line + "0" * (-len(line) % 8) for line in lines)
        return bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8))
    values = part.astype((order if bits > 8 else "") + NUMPY_TYPES[bits, number])
    if predictor == 2:
        plain = values.astype(np.int64)
        plain[:, 1:] -= part[:, :-1].astype(np.int64)
        values = (plain % 2**bits).astype((order if bits > 8 else "") + NUMPY_TYPES[bits, 1])
    if predictor == 3:
        height, width, samples = values.shape
        by_byte = np.frombuffer(values.astype(">f4").tobytes(), "u1").reshape(height, width * samples, 4)
        flat = by_byte.transpose(0, 2, 1).reshape(height, -1).astype(int)
        flat[:, 1:] -= flat[:, :-1].copy()
        return (flat % 256).astype("u1").tobytes()
    return values.tobytes()


def tiff(
    pixels, bits, model, *, compression=1, order="<", fill=1, extra=(), number=1, rows=0, tile=0, planar=1, map=(),
    predictor=1, big=False, tags=(),
):  # fmt: skip
    height, width, samples = pixels.shape
    planes = [pixels[:, :, i : i + 1] for i in range(samples)] if planar == 2 else [pixels]
    blocks = []
    for plane in planes:
        if tile:
            padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, plane.shape[2]), plane.dtype)
            padded[:height, :width] = plane
            parts = [
                padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)
            ]
        else:
            parts = [plane[y : y + (rows or height)] for y in range(0, height, rows or height)]
        blocks += [COMPRESSIONS[compression](rows_of(part, bits, number, order, predictor)) for part in parts]
    if fill == 2:
        blocks = [block.translate(REVERSED) for block in blocks]
    blocks = [block + b"\0" * (len(block) % 2) for block in blocks]
    header = 16 if big else 8
    offsets = [header + sum(map_length(blocks[:i])) for i in range(len(blocks))]
    counts = [len(block) for block in blocks]
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [compression])]
    entries += [(262, 3, [model]), (266, 3, [fill]), (277, 3, [samples]), (284, 3, [planar]), (317, 3, [predictor])]
    entries += [(338, 3, list(extra))] if extra else []
    entries += [(339, 3, [number] * samples)] + ([(320, 3, list(map))] if len(map) else [])
    if tile:
        entries += [(322, 4, [tile]), (323, 4, [tile]), (324, 4, offsets), (325, 4, counts)]
    else:
        entries += [(273, 4, offsets), (278, 4, [rows or height]), (279, 4, counts)]
    entries = sorted([*entries, *tags])
    wide, entry_size, room = ("Q", 20, 8) if big else ("L", 12, 4)
    start = header + sum(counts)
    directory = struct.pack(order + ("Q" if big else "H"), len(entries))
    behind = b""
    behind_at = start + len(directory) + entry_size * len(entries) + room
    for tag, kind, values in entries:
        data = struct.pack(order + {3: "H", 4: "L", 5: "L"}[kind] * len(values), *values)
        count = len(values) // (2 if kind == 5 else 1)
        value = data.ljust(room, b"\0") if len(data) <= room else struct.pack(order + wide, behind_at + len(behind))
        behind += b"" if len(data) <= room else data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + "HH" + wide, tag, kind, count) + value
    directory += struct.pack(order + wide, 0)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    magic += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "L", start)
    return magic + b"".join(blocks) + directory + behind


def map_length(blocks):
    return [len(block) for block in blocks]


def tiffs():
    def numbers(bits, samples, number=1):
        if number == 3:
            return RNG.uniform(-60, 400, (HEIGHT, WIDTH, samples))
        if number == 2 and bits > 8:
            return RNG.integers(-500, 900, (HEIGHT, WIDTH, samples))
        return RNG.integers(0, 2**bits if bits < 16 else 700, (HEIGHT, WIDTH, samples))

    gray = [(f"gray-{bits}-{model}", bits, 1, model, {}) for bits in (1, 2, 4, 8, 16) for model in (0, 1)]
    palette = [
        (f"palette-{bits}", bits, 1, 3, {"map": RNG.integers(0, 65536, 3 * 2**bits).tolist()}) for bits in (1, 2, 4, 8)
    ]
    colours = [
        ("rgb-8", 8, 3, 2, {}),
        ("rgb-16", 16, 3, 2, {}),
        ("rgba-8", 8, 4, 2, {"extra": [2]}),
        ("rgba-16", 16, 4, 2, {"extra": [2]}),
        ("rgbx-8", 8, 4, 2, {"extra": [0]}),
        ("rgbxx-8", 8, 5, 2, {"extra": [0, 0]}),
        ("associated-8", 8, 4, 2, {"extra": [1]}),
        ("associated-16", 16, 4, 2, {"extra": [1]}),
        ("gray-alpha", 8, 2, 1, {"extra": [2]}),
        ("cmyk-8", 8, 4, 5, {}),
        ("cmyk-16", 16, 4, 5, {}),
        ("ycbcr", 8, 3, 6, {"tags": [(530, 3, [1, 1])]}),
        ("signed-16", 16, 1, 1, {"number": 2}),
        ("signed-32", 32, 1, 1, {"number": 2}),
        ("unsigned-32", 32, 1, 1, {}),
        ("float-32", 32, 1, 1, {"number": 3}),
    ]
    layouts = {
        "": {},
        "-big-endian-strips": {"order": ">", "rows": 5},
        "-lzw": {"compression": 5},
        "-lzw-tiles": {"compression": 5, "tile": 16},
        "-deflate-differences": {"compression": 8, "predictor": 2},
        "-packbits-strips": {"compression": 32773, "rows": 3},
        "-reversed": {"compression": 8, "fill": 2},
        "-planes": {"compression": 8, "planar": 2},
        "-big": {"big": True, "tile": 16},
    }
    for name, bits, samples, model, options in [*gray, *palette, *colours]:
        pixels = numbers(bits, samples, options.get("number", 1))
        if name.startswith("associated"):
            pixels[::3, :, 3] = 0
            pixels[1::3, :, 3] = 2**bits - 1
        for layout, more in layouts.items():
            if (bits < 8 and "predictor" in more) or (samples == 1 and "planar" in more):
                continue
            files[f"{name}{layout}.tif"] = tiff(pixels, bits, model, **options, **more)
    files["float-32-differences.tif"] = tiff(numbers(32, 1, 3), 32, 1, number=3, compression=8, predictor=3)
    rgb = numbers(8, 3) // 16 * 16
    for compression in (1, 5, 8, 32773):
        for tile in (0, 16):
            whole = bytearray(tiff(rgb, 8, 2, compression=compression, tile=tile))
            if compression > 1:
                whole[40] ^= 0x5A
                files[f"damaged-{compression}{'-tiles' if tile else ''}.tif"] = bytes(whole)
            whole = tiff(rgb, 8, 2, compression=compression, tile=tile)
            at = whole.index(struct.pack("<HH", 325 if tile else 279, 4)) + 8
            if not tile and compression > 1:
                (count,) = struct.unpack("<L", whole[at : at + 4])
                files[f"half-{compression}.tif"] = whole[:at] + struct.pack("<L", count // 2) + whole[at + 4 :]
    for mode, image in {"L": PHOTO.convert("L"), "RGB": PHOTO, "CMYK": CMYK, "YCbCr": PHOTO.convert("YCbCr")}.items():
        files[f"jpeg-{mode}.tif"] = saved(image, "TIFF", compression="jpeg")
    for compression in ("group3", "group4", "tiff_ccitt"):
        files[f"{compression}.tif"] = saved(PHOTO.convert("1"), "TIFF", compression=compression)
    for compression in ("lzma", "zstd"):
        files[f"{compression}.tif"] = saved(PHOTO, "TIFF", compression=compression)
    files["pages.tif"] = saved(PHOTO, "TIFF", save_all=True, append_images=[PHOTO.rotate(180)])
    files["wrong-magic.tif"] = b"MM*\0" + tiff(rgb, 8, 2, order=">")[4:]


def webps_and_avifs():
    for lossless in (False, True):
        ending = "-lossless" if lossless else ""
        files[f"rgb{ending}.webp"] = saved(PHOTO, "WEBP", lossless=lossless)
        files[f"rgba{ending}.webp"] = saved(RGBA, "WEBP", lossless=lossless)
        files[f"animated{ending}.webp"] = saved(
            RGBA, "WEBP", lossless=lossless, save_all=True, append_images=[PHOTO], duration=100
        )
    files["cut.webp"] = files["rgb.webp"][:-10]
    for sampling in ("4:4:4", "4:2:0"):
        name = sampling.replace(":", "")
        files[f"{name}.avif"] = saved(PHOTO, "AVIF", subsampling=sampling)
        files[f"{name}-alpha.avif"] = saved(RGBA, "AVIF", subsampling=sampling)
        files[f"{name}-animated.avif"] = saved(
            PHOTO, "AVIF", subsampling=sampling, save_all=True, append_images=[RGBA.convert("RGB")], duration=100
        )
    files["gray.avif"] = saved(PHOTO.convert("L"), "AVIF")
    files["premultiplied.avif"] = saved(RGBA, "AVIF", subsampling="4:4:4", alpha_premultiplied=True)
    files["cut.avif"] = files["444.avif"][:-10]


def seen_by_pillow(name, data):
    entry = {"file": base64.b64encode(data).decode()}
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except Exception as error:
        return {**entry, "error": type(error).__name__}
    entry |= {"width": image.width, "height": image.height, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}
    # What cannot be compared by a digest alone: AVIF, and JPEG by jimp.
    if (name.endswith((".jpg", ".avif")) and not name.startswith("exif-")) or name.startswith("jpeg-"):
        entry["rgb"] = base64.b64encode(image.tobytes()).decode()
    return entry


jpegs()
orientations()
tiffs()
webps_and_avifs()
kinds = {name: seen_by_pillow(name, data) for name, data in files.items()}
text = json.dumps({"pillow": PIL.__version__, "files": kinds}, indent=0)
(FIXTURES / "picture-kinds.json").write_text(text + "\n")
