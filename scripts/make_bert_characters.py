"""Writes lib/processing/bert-characters.ts: which characters BERT's tokenizer removes, strips or splits at.

The Rust library behind transformers' BertTokenizerFast decides this with Unicode tables of its own age, Node with those
of its own version. The tables are therefore read off the Rust library, by asking it about every character there is.

Needs: pip install tokenizers
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

SURROGATES = range(0xD800, 0xE000)


def characters(matches: Callable[[str], bool]) -> str:
    """Ranges, in hexadecimal and separated by spaces, of the characters that a function is true of."""
    ranges: list[list[int]] = []
    for code in range(0x110000):
        if code in SURROGATES or not matches(chr(code)):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return " ".join(f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in ranges)


def constant(name: str, comment: str, ranges: str, width: int = 112) -> str:
    """A TypeScript constant of ranges, wrapped."""
    lines, line = [], ""
    for item in ranges.split():
        if line and len(line) + 1 + len(item) > width:
            lines.append(line)
            line = ""
        line = f"{line} {item}" if line else item
    lines.append(line)
    if len(lines) == 1 and len(line) + len(name) + 18 <= 120:
        return f'/** {comment} */\nexport const {name} = "{line}";\n'
    text = " +\n".join(f'  "{line}{" " if i + 1 < len(lines) else ""}"' for i, line in enumerate(lines))
    return f"/** {comment} */\nexport const {name} =\n{text};\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--output", type=Path, default=root / "lib" / "processing" / "bert-characters.ts")
    args = parser.parse_args()

    clean = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    chinese = BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    strip = BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    split = BertPreTokenizer()

    def parts(text: str) -> list[str]:
        return [part for part, _ in split.pre_tokenize_str(text)]

    blocks = [
        constant("REMOVED", "Removed from the text.", characters(lambda c: clean.normalize_str(f"a{c}b") == "ab")),
        constant("SPACES", "White space.", characters(lambda c: parts(f"a{c}b") == ["a", "b"])),
        constant("PUNCTUATION", "Words of their own.", characters(lambda c: parts(f"a{c}b") == ["a", c, "b"])),
        constant("CHINESE", "Set off by spaces.", characters(lambda c: chinese.normalize_str(f"a{c}b") == f"a {c} b")),
        constant("ACCENTS", "Stripped, once decomposed.", characters(lambda c: strip.normalize_str(f"a{c}b") == "ab")),
    ]
    header = (
        f"// Written by scripts/make_bert_characters.py from tokenizers {tokenizers.__version__}; do not edit.\n"
        "// Each constant is a list of code points and ranges of them, in hexadecimal.\n"
    )
    args.output.write_text("\n".join([header, *blocks]), encoding="utf-8")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
