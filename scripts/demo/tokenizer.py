"""The demo model's tokenizer: BERT's WordPiece with a vocabulary of a few hundred pieces.

Special tokens keep BERT's ids ([PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103), and [DEC] and [ENC] are the last
two, as in Salesforce's BLIP. Any text in Latin letters can be encoded: words that are not in the vocabulary fall apart
into letters.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

PAD, UNK, CLS, SEP, MASK = 0, 100, 101, 102, 103
SPECIAL = {"[PAD]": PAD, "[UNK]": UNK, "[CLS]": CLS, "[SEP]": SEP, "[MASK]": MASK}

WORDS: tuple[str, ...] = tuple(
    """
    a an and any anything are at black blue bottom can circle circles color colour colored coloured contain corner
    count describe do does each green have how i image in is it left look many me middle more no not number object
    objects of on one or picture purple red right see shape shapes show square squares star stars tell than that the
    there thing things this to top triangle triangles two three four what where which with yellow yes you
    """.split()
)


def vocabulary() -> dict[str, int]:
    """Token to id, without [DEC] and [ENC]."""
    tokens = {name: index for name, index in SPECIAL.items()}
    tokens |= {f"[unused{index - 1}]": index for index in range(1, UNK)}
    letters = string.ascii_lowercase + string.digits
    rest = [*string.punctuation, *letters, *(f"##{letter}" for letter in letters), "##s"]
    rest += [word for word in WORDS if len(word) > 1]
    for token in rest:
        tokens.setdefault(token, len(tokens))
    return tokens


def build_tokenizer() -> Tokenizer:
    """Makes the tokenizer: lower case, WordPiece, `[CLS] text [SEP]`."""
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary(), unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("[DEC]", "[ENC]")])
    return tokenizer


def write_tokenizer(directory: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json as `BertTokenizerFast.save_pretrained` does.

    They are written from parts that transformers 4 and 5 both read, whichever of the two is installed.
    """
    tokenizer = build_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    added = {
        str(tokenizer.token_to_id(name)): {
            "content": name,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for name in (*SPECIAL, "[DEC]", "[ENC]")
    }
    config = {
        "added_tokens_decoder": added,
        "additional_special_tokens": ["[DEC]", "[ENC]"],
        "clean_up_tokenization_spaces": True,
        "cls_token": "[CLS]",
        "do_lower_case": True,
        "mask_token": "[MASK]",
        "model_max_length": 64,
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
