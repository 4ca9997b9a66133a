"""How a byte-level tokenizer splits text before it merges: by the name in `tokenizer.ggml.pre`."""

from __future__ import annotations

from typing import NamedTuple

from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

from alora_runtime.errors import ModelError
from alora_runtime.gguf.file import ORIGINAL

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
START = r"[^\r\n\p{L}\p{N}]?"


def _words(digits: str) -> str:
    """Llama 3's pattern and Qwen's, with so many digits in a piece."""
    return rf"{CONTRACTIONS}|{START}\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}"


def _cased(digits: str, end: str) -> str:
    """GPT-4o's pattern and Mistral's, which split where small letters end."""
    words = rf"{START}{UPPER}*{LOWER}+{end}|{START}{UPPER}+{LOWER}*{end}"
    return rf"{words}|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACES}"


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3, QWEN2, TEKKEN, GPT4O = _words("{1,3}"), _words(""), _cased("", ""), _cased("{1,3}", f"{CONTRACTIONS}?")


class Splitting(NamedTuple):
    """Patterns that split one after the other; whether a piece that is a token is one, whatever the merges say."""

    patterns: tuple[str, ...]
    whole: bool = False


BY_NAME = {
    **dict.fromkeys(("gpt-2", "olmo"), Splitting((GPT2,))),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), Splitting((r"\p{N}", GPT2))),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), Splitting((LLAMA3,), whole=True)),
    **dict.fromkeys(("dbrx", "smaug-bpe"), Splitting((LLAMA3,))),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), Splitting((QWEN2,))),
    "tekken": Splitting((TEKKEN,), whole=True),
    "gpt-4o": Splitting((GPT4O,)),
}


def splitting(name: str, place: str) -> Splitting:
    """Raises ModelError for a name that is not known: a wrong guess would give wrong tokens and no error."""
    if name not in BY_NAME:
        known = ", ".join(sorted(BY_NAME))
        raise ModelError(f"{place}: tokenizer.ggml.pre {name!r} is not supported; supported are {known}", ORIGINAL)
    return BY_NAME[name]


def pre_tokenizer(found: Splitting) -> PreTokenizer:
    """In the form that tokenizer.json holds."""
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in found.patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
