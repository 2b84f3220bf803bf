"""tokenizer_config.json such that transformers 4 and 5 both read it, whichever of them wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# How and where the tokenizer was loaded when it was saved: nothing of the tokenizer itself.
CIRCUMSTANCES = ("is_local", "local_files_only")


def readable_by_all(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration under names that both majors know.

    transformers 5 saves further special tokens as a list, "extra_special_tokens", on which transformers 4 (which
    expects an object of that name) fails; "additional_special_tokens" is the list that both read as the same. An
    "extra_special_tokens" that is an object means the same to both. An empty one says nothing.
    """
    result = {key: value for key, value in config.items() if key not in CIRCUMSTANCES}
    extra = result.get("extra_special_tokens")
    if isinstance(extra, (list, tuple)):
        del result["extra_special_tokens"]
        known = list(result.get("additional_special_tokens") or [])
        tokens = known + [token for token in extra if token not in known]
        if tokens:
            result["additional_special_tokens"] = tokens
    return dict(sorted(result.items()))
