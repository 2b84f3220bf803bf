"""The photograph that the files show, in each mode, and the orientations that are written into them."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 37, 23
CHELSEA = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "pictures" / "chelsea.png"

RGB = Image.open(CHELSEA).convert("RGB").resize((151, 100), Image.Resampling.BICUBIC).crop((60, 25, 97, 48))


def rgba() -> Image.Image:
    """Alpha from 0 to 255, so that blending would show."""
    picture = RGB.convert("RGBA")
    picture.putalpha(Image.frombytes("L", RGB.size, bytes((x * 7 + y) % 256 for y in range(HEIGHT) for x in range(WIDTH))))
    return picture


def palette(colors: int = 32) -> Image.Image:
    return RGB.quantize(colors)


def gray_16() -> Image.Image:
    """Values on both sides of 255."""
    values = bytearray()
    for i, level in enumerate(RGB.convert("L").tobytes()):
        values += (level * 3 if i % 3 else level).to_bytes(2, "little")
    return Image.frombytes("I;16", RGB.size, bytes(values))


def mode(name: str) -> Image.Image:
    if name == "RGBA":
        return rgba()
    if name == "LA":
        return rgba().convert("LA")
    if name == "P":
        return palette()
    if name == "PA":
        return palette().convert("PA")
    if name == "I;16":
        return gray_16()
    if name == "I;16B":
        return Image.frombytes("I;16B", RGB.size, b"".join(v.to_bytes(2, "big") for v in gray_16().get_flattened_data()))
    if name == "I":
        return Image.frombytes("I", RGB.size, b"".join(v.to_bytes(4, "little") for v in gray_16().get_flattened_data()))
    return RGB.convert(name)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def xmp(orientation: int, element: bool = False) -> bytes:
    value = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if element else ""
    attribute = "" if element else f' tiff:Orientation="{orientation}"'
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{value}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def raw_profile(block: bytes) -> str:
    """EXIF as ImageMagick writes it into a text chunk."""
    return f"\nexif\n{len(block):8}\n" + "\n".join(block.hex()[i : i + 72] for i in range(0, len(block.hex()), 72)) + "\n"


def orientations() -> Iterator[int]:
    yield from range(1, 9)
