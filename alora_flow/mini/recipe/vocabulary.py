"""The tokenizer: one token a word, a syllable or a year of the closed world; bytes for everything else.

A unigram model over a designed vocabulary takes the fewest pieces, so a name is always two tokens and a year one;
256 byte tokens carry any other text, and every string comes back as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alora_flow.mini import INTRINSICS
from alora_flow.mini.world.corpus import STAGES, training_chats
from alora_flow.mini.world.names import FIRST, FIRST_YEAR, LAST_YEAR, SECOND

ROLES = ("system", "documents", "user", "assistant", "tool_result")
RESERVED = 7
SPECIAL = (
    *("<|pad|>", "<|end|>"),
    *(f"<|{name}|>" for name in (*ROLES, *INTRINSICS)),
    *(f"<|reserved_{i}|>" for i in range(RESERVED)),
)
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# A word takes the space before it; digits go together, for the year; every other sign alone.
SPLIT = r" ?\p{L}+| ?\p{N}+|[^\p{L}\p{N}]"
WORD = re.compile(r" ?[A-Za-z]+| ?[0-9]+|[^A-Za-z0-9]")
ROUND = 64


def byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for every byte, which `ByteLevel` uses."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def words() -> list[str]:
    """Every word of the training chats but names and years, most frequent first."""
    syllables = {f"{space}{first}{second}" for space in ("", " ") for first in FIRST for second in SECOND}
    counts: Counter[str] = Counter()
    for turns in training_chats(seed=0, size=STAGES[2], count=20000):
        counts.update(w for turn in turns for w in WORD.findall(turn.text))
    return [w for w, _ in sorted(counts.items(), key=lambda p: (-p[1], p[0])) if w not in syllables]


def pieces() -> list[str]:
    """The designed vocabulary after the special tokens, in a fixed order."""
    letters = byte_letters()
    years = [f" {y}" for y in range(FIRST_YEAR, LAST_YEAR + 1)]
    names = [*(f" {s}" for s in FIRST), *FIRST, *SECOND]
    plain = [*"YN0123456789", *years, *names, *words()]
    mapped = ["".join(letters[b] for b in p.encode()) for p in plain]
    return list(dict.fromkeys([*letters.values(), *mapped]))


def build() -> PreTrainedTokenizerFast:
    """The tokenizer, padded with unused tokens to a multiple of 64 rows."""
    letters = set(byte_letters().values())
    table = [(s, 0.0) for s in SPECIAL]
    # Bytes cost more than any whole piece, so a known word never falls apart.
    table += [(p, -20.0 if p in letters else -5.0) for p in pieces()]
    table += [(f"<|unused_{i}|>", -1e4) for i in range(-len(table) % ROUND)]
    tokenizer = Tokenizer(models.Unigram(table, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        extra_special_tokens=list(SPECIAL[2:]),
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def save(folder: Path) -> None:
    """Write the tokenizer's files and the chat template."""
    build().save_pretrained(folder)


class Encoder:
    """Text to ids, a turn at a time. Signs such as `<|end|>` inside a turn's text are plain text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.encode_special_tokens = True
        self.special: dict[str, int] = {s: int(tokenizer.token_to_id(s) or 0) for s in SPECIAL}
        self.end = self.special["<|end|>"]
        self.assistant = self.special["<|assistant|>"]

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """From a folder with `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")))

    def role(self, name: str) -> int:
        """The id of a role's or an intrinsic's token."""
        return self.special[f"<|{name}|>"]

    def text(self, text: str) -> list[int]:
        """The ids of plain text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def texts(self, texts: list[str]) -> list[list[int]]:
        """The ids of many plain texts."""
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Ids back to text, special tokens shown."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    @property
    def size(self) -> int:
        """Rows of the embedding."""
        return self.tokenizer.get_vocab_size()
