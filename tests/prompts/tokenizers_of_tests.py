"""One small tokenizer of every type, trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SAID = "see the mayor of Tarnok at http://a.com/x and http://b.org/y who is Ada said the town hall café \n 1234 x1 "
TEXTS = [
    SAID,
    " ".join(reversed(SAID.split(" "))),
    "the  town\n\nhall",
    "Ada, the mayor (of Tarnok).",
    "see http://a.com/x",
]
CONTROL = ["<s>", "</s>", "<|user|>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]


def _metaspace_decoder(strip: bool = True) -> decoders.Decoder:
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if strip else [])])


def byte_level(add_prefix_space: bool = False) -> Tokenizer:
    """GPT-2's and its followers'."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return made


def tiktoken() -> Tokenizer:
    """Llama 3's and others': a pattern splits text, and what is a token as a whole is not merged."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    pattern = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return made


def _sentencepiece(byte_fallback: bool = True) -> Tokenizer:
    """BPE over words with `▁`, and bytes for what it does not know."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=250, show_progress=False))
    learnt = words.get_vocab()
    vocabulary = {text: at for at, text in enumerate(["<unk>", *(BYTES if byte_fallback else [])])}
    for text in sorted(learnt, key=lambda text: learnt[text]):
        vocabulary.setdefault(text, len(vocabulary))
    merges = [tuple(pair) for pair in json.loads(words.to_str())["model"]["merges"]]
    settings = {"unk_token": "<unk>", "byte_fallback": byte_fallback, "fuse_unk": True}
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **settings))


def prepending() -> Tokenizer:
    """Llama 2's: a normaliser prepends `▁`."""
    made = _sentencepiece()
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = _metaspace_decoder()
    return made


def metaspace(scheme: str) -> Callable[[], Tokenizer]:
    """Mistral's and others': a pre-tokenizer prepends it, to the text or behind every control token."""

    def make() -> Tokenizer:
        made = _sentencepiece()
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        made.decoder = _metaspace_decoder(strip=scheme != "never")
        return made

    return make


def without_bytes() -> Tokenizer:
    """One that has a single token for all characters that it does not know."""
    made = _sentencepiece(byte_fallback=False)
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    made.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    return made


def unigram_with_bytes() -> Tokenizer:
    """llm-jp's and others': characters are normalised, and what is unknown is spelled in bytes."""
    learnt = json.loads(unigram().to_str())["model"]["vocab"]
    vocabulary = [("<unk>", 0.0), *((text, -20.0) for text in BYTES), *map(tuple, learnt[1:])]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    made.decoder = _metaspace_decoder(strip=False)
    return made


def unigram() -> Tokenizer:
    """T5's and others'."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    settings = {"unk_token": "<unk>", "special_tokens": ["<unk>"], "initial_alphabet": [*"é日本😀z"]}
    trainer = trainers.UnigramTrainer(vocab_size=200, show_progress=False, **settings)
    made.train_from_iterator(TEXTS * 4, trainer)
    return made


def wordpiece() -> Tokenizer:
    """BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    )
    return made


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "byte level": byte_level,
    "byte level with a space": lambda: byte_level(add_prefix_space=True),
    "tiktoken": tiktoken,
    "prepending": prepending,
    "metaspace always": metaspace("always"),
    "metaspace first": metaspace("first"),
    "metaspace never": metaspace("never"),
    "without bytes": without_bytes,
    "unigram": unigram,
    "unigram with bytes": unigram_with_bytes,
    "wordpiece": wordpiece,
}


@cache
def source(name: str) -> str:
    """The `tokenizer.json` of one, with control tokens."""
    made = MAKERS[name]()
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    return str(made.to_str())
