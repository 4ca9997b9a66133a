"""A folder's tokenizer as transformers would load it, from `tokenizer.json` and the small files beside it. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from alora_runtime.errors import ModelError
from alora_runtime.foreign import unreadable
from alora_runtime.json_file import read_object

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")

DISTRUSTED = ("granite", "mistral", "ministral", "phi3")
"""model_types whose folders are read by `tokenizer.json` as it is, whatever class they name: many name a wrong one."""

LISTS = ("additional_special_tokens", "extra_special_tokens")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Its texts are neither cut nor padded, and tokens that only the small files know are added. Raises ModelError."""
    path = folder / "tokenizer.json"
    try:
        made = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises nothing more specific
        raise unreadable(path, error, ModelError) from None
    if read_settings(folder / "config.json").get("model_type") not in DISTRUSTED:
        _like_llama(made, read_settings(folder / "tokenizer_config.json"))
    made.no_truncation()
    made.no_padding()
    known = {token.content for token in made.get_added_tokens_decoder().values()}
    made.add_tokens([token for token in _added_beside(folder) if token.content not in known])
    return made


def special_tokens(folder: Path) -> Mapping[str, Any]:
    """`bos_token`, `eos_token` and their like: text or object by name, as the files have them.

    `special_tokens_map.json` counts only beside a `tokenizer_config.json` without `added_tokens_decoder`.
    """
    settings = read_settings(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in settings:
        settings = {**settings, **read_settings(folder / "special_tokens_map.json")}
    found = {name: value for name, value in settings.items() if name.endswith("_token") or name in LISTS}
    extra = found.pop("extra_special_tokens", None)
    if isinstance(extra, dict):
        found.update(extra)
    elif extra:
        found["extra_special_tokens"] = extra
    return found


def special_texts(folder: Path) -> Mapping[str, Any]:
    """The texts of the special tokens: what chat templates are given by name."""
    found: dict[str, Any] = {}
    for name, value in special_tokens(folder).items():
        if isinstance(value, list):
            found[name] = [text for text in map(text_of, value) if text is not None]
        elif text_of(value) is not None:
            found[name] = text_of(value)
    return found


def end_token(folder: Path) -> tuple[int, ...]:
    """The id of the tokenizer's `eos_token`: none where it names none, or has no readable file. Raises ModelError where
    a small file beside it can't be read."""
    text = special_texts(folder).get("eos_token")
    if text is None or not (folder / "tokenizer.json").is_file():
        return ()
    number = load_tokenizer(folder).token_to_id(text)
    return () if number is None else (number,)


def read_settings(file: Path) -> dict[str, Any]:
    """The object of a JSON file, empty where there is none. Raises ModelError."""
    return read_object(file, ModelError) if file.is_file() else {}


def text_of(token: object) -> str | None:
    """The text of a token that is given as one, or as an object with it."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _like_llama(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """transformers takes the vocabulary alone from the file of a LlamaTokenizer that is not byte level, and cuts and
    decodes text as its settings say: a space before the text, and behind every special token where it is `legacy`,
    which means nothing to a CodeLlamaTokenizer."""
    name = str(settings.get("tokenizer_class")).removesuffix("Fast")
    parts = (tokenizer.pre_tokenizer, tokenizer.decoder)
    bytewise = any(b"ByteLevel" in part.__getstate__() for part in parts if part is not None)
    if name not in ("LlamaTokenizer", "CodeLlamaTokenizer") or bytewise or not isinstance(tokenizer.model, BPE):
        return
    prefixed = settings.get("add_prefix_space") is not False
    code = name == "CodeLlamaTokenizer"
    scheme = ("always" if settings.get("legacy") and not code else "first") if prefixed else "never"
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prefixed or code else [])])


def _added_beside(folder: Path) -> Iterator[AddedToken]:
    """In the order in which they get the next ids."""
    declared = read_settings(folder / "tokenizer_config.json").get("added_tokens_decoder")
    numbered = declared.items() if isinstance(declared, dict) else ()
    for _, token in sorted(((_number(number), token) for number, token in numbered), key=lambda item: item[0]):
        yield from _made(token)
    if not isinstance(declared, dict):
        older = read_settings(folder / "added_tokens.json")
        for text, _ in sorted(older.items(), key=lambda item: _number(item[1])):
            yield AddedToken(text)
    for value in special_tokens(folder).values():
        for token in value if isinstance(value, list) else [value]:
            yield from _made(token, special=True)


def _made(token: object, special: bool = False) -> Iterator[AddedToken]:
    text = text_of(token)
    if text:
        flags = {name: token[name] for name in FLAGS if isinstance(token, dict) and isinstance(token.get(name), bool)}
        yield AddedToken(text, **{**({"special": True, "normalized": False} if special else {}), **flags})


def _number(value: object) -> int:
    return int(value) if str(value).isdecimal() else -1  # type: ignore[call-overload]
