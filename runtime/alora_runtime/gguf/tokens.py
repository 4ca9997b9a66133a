"""A GGUF file's vocabulary → tokenizer.json, tokenizer_config.json and which tokens end an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from tokenizers.processors import TemplateProcessing

from alora_runtime.errors import ModelError
from alora_runtime.gguf.file import GgufFile
from alora_runtime.gguf.splitting import pre_tokenizer, splitting

ADDED = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
"""Types whose tokens are found in a text before anything else is done to it."""

ENDS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>"),
    *("<EOT>", "_<EOT>", "[EOT]"),
)
"""Control tokens that end an answer, whether the file says so or not, as llama.cpp has it."""

NAMED = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
"""In `tokenizer.ggml.…_token_id` → in `…_token` of tokenizer_config.json."""

SPACE = "▁"


@dataclass(frozen=True)
class TokenList:
    """texts: of tokens, by id. kinds: their types."""

    file: GgufFile
    texts: tuple[str, ...]
    kinds: tuple[int, ...]

    @cached_property
    def ids(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self.texts)}

    @property
    def entries(self) -> Iterator[tuple[str, int]]:
        """Every token's text and type."""
        return zip(self.texts, self.kinds, strict=True)

    def named(self, name: str) -> int | None:
        """The id of a token that has a part to play. Raises ModelError for one that is not in the tokens."""
        number = self.file.get(f"tokenizer.ggml.{name}_token_id", int)
        if number is not None and not 0 <= number < len(self.texts):
            raise ModelError(
                f"{self.file.path}: tokenizer.ggml.{name}_token_id is {number}, and there are {len(self.texts)} tokens"
            )
        return number

    @property
    def ends(self) -> list[int]:
        """Tokens that end an answer, the file's own first."""
        told = [self.named(name) for name in ("eos", "eot", "eom")]
        found = [
            self.ids[text] for text in ENDS if text in self.ids and self.kinds[self.ids[text]] == TokenType.CONTROL
        ]
        return list(dict.fromkeys(number for number in (*told, *found) if number is not None))


def read_tokens(file: GgufFile) -> TokenList:
    """Raises ModelError. Tokens at the end that only fill up the model's matrix are left out."""
    texts = [text or f"[EMPTY_{number}]" for number, text in enumerate(file.many("tokenizer.ggml.tokens", str))]
    kinds = file.many("tokenizer.ggml.token_type", int) or [int(TokenType.NORMAL)] * len(texts)
    if not texts:
        raise ModelError(f"{file.path} holds no tokenizer; a flow needs one")
    if len(kinds) != len(texts):
        raise ModelError(f"{file.path}: tokenizer.ggml.token_type has {len(kinds)} entries for {len(texts)} tokens")
    while kinds and kinds[-1] == TokenType.UNUSED:
        texts.pop()
        kinds.pop()
    tokens = TokenList(file, tuple(texts), tuple(kinds))
    if len(tokens.ids) != len(texts):
        raise ModelError(f"{file.path}: two of tokenizer.ggml.tokens have the same text")
    return tokens


def make_tokenizer(tokens: TokenList) -> Tokenizer:
    """In the form of tokenizers. Raises ModelError for a kind that is not known."""
    file = tokens.file
    kind = file.need("tokenizer.ggml.model", str)
    if kind not in MAKERS:
        raise ModelError(
            f"{file.path}: tokenizer.ggml.model {kind!r} is not supported; supported are {', '.join(MAKERS)}"
        )
    tokenizer = MAKERS[kind](tokens)
    tokenizer.add_tokens(
        [
            AddedToken(text, special=found != TokenType.USER_DEFINED, normalized=False)
            for text, found in tokens.entries
            if found in ADDED
        ]
    )
    bos = tokens.named("bos")
    if adds_bos(tokens) and bos is not None:
        text = tokens.texts[bos]
        tokenizer.post_processor = TemplateProcessing(f"{text} $A", f"{text} $A {text}:1 $B:1", [(text, bos)])
    return tokenizer


def adds_bos(tokens: TokenList) -> bool:
    """Whether a text by itself begins with the first token; a chat template writes its own."""
    told = tokens.file.get("tokenizer.ggml.add_bos_token", bool)
    if told is not None:
        return told
    kind, pre = (tokens.file.get(f"tokenizer.ggml.{key}", str) for key in ("model", "pre"))
    return kind == "llama" or (pre or "").startswith(("llama", "falcon3", "pixtral", "tekken"))


def _byte_level(tokens: TokenList) -> Tokenizer:
    """GPT-2's kind."""
    file = tokens.file
    found = splitting(file.need("tokenizer.ggml.pre", str), str(file.path))
    merges = [tuple(merge.split(" ")) for merge in file.many("tokenizer.ggml.merges", str)]
    if not merges and any(len(text) > 1 for text, kind in tokens.entries if kind == TokenType.NORMAL):
        raise ModelError(f"{file.path} lacks tokenizer.ggml.merges, without which its tokens are never used")
    tokenizer = Tokenizer(_bpe(file, tokens.ids, merges, ignore_merges=found.whole))
    tokenizer.pre_tokenizer = pre_tokenizer(found)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_piece(tokens: TokenList) -> Tokenizer:
    """Llama 2's kind: characters, merged by the score of what they become, and bytes for what has no token."""
    file = tokens.file
    scores = dict(zip(tokens.texts, file.many("tokenizer.ggml.scores", float), strict=False))
    if len(scores) != len(tokens.texts):
        raise ModelError(f"{file.path}: tokenizer.ggml.scores has {len(scores)} entries for {len(tokens.texts)} tokens")
    unknown = tokens.named("unknown")
    tokenizer = Tokenizer(
        _bpe(
            file,
            tokens.ids,
            _merges(tokens, scores),
            unk_token=None if unknown is None else tokens.texts[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefixed = file.get("tokenizer.ggml.add_space_prefix", bool) is not False
    first = [normalizers.Prepend(SPACE)] if prefixed else []
    tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", SPACE)])
    last = [decoders.Strip(" ", 1, 0)] if prefixed else []
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def _merges(tokens: TokenList, scores: dict[str, float]) -> list[tuple[str, str]]:
    """The best first. The pairs of one token stand by the ids of their parts, as in Llama 2's own tokenizer.json."""
    ids, found = tokens.ids, []
    for text, kind in tokens.entries:
        if kind in (TokenType.NORMAL, TokenType.USER_DEFINED):
            pairs = ((text[:cut], text[cut:]) for cut in range(1, len(text)))
            known = [(ids[left], ids[right]) for left, right in pairs if left in ids and right in ids]
            found += [(-scores[text], left, right) for left, right in known]
    return [(tokens.texts[left], tokens.texts[right]) for _, left, right in sorted(found)]


def _bpe(file: GgufFile, ids: dict[str, int], merges: list[Any], **settings: Any) -> models.BPE:
    try:
        return models.BPE(vocab=ids, merges=merges, **settings)
    except Exception as error:  # tokenizers raises nothing more specific
        raise ModelError(f"{file.path}: tokenizer.ggml.merges do not fit the tokens: {error}") from None


MAKERS = {"gpt2": _byte_level, "llama": _sentence_piece}
"""`tokenizer.ggml.model` → what makes one."""


def tokenizer_settings(tokens: TokenList, positions: int) -> dict[str, Any]:
    """tokenizer_config.json."""
    named = {theirs: tokens.named(name) for name, theirs in NAMED.items()}
    template = tokens.file.get("tokenizer.chat_template", str)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": adds_bos(tokens),
        **{f"{name}_token": tokens.texts[number] for name, number in named.items() if number is not None},
        **({} if template is None else {"chat_template": template}),
    }
