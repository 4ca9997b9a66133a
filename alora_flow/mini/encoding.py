"""Turns to token ids with loss weights, and ids to batches of a few fixed shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from alora_flow.mini.chat import PLAIN, Size, Turn
from alora_flow.mini.corpus import training_chats
from alora_flow.mini.names import Names
from alora_flow.mini.vocabulary import Encoder

# A little loss on documents and questions helps to start; more of it drowns the answers.
CONTEXT = 0.02
# Few lengths, so that a compiled step is compiled few times.
LENGTHS = (96, 160, 224, 288, 384, 512)


@dataclass(frozen=True)
class Row:
    """One training text: ids and the loss weight of predicting each."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Batch:
    """Rows padded to one length: `ids` and `weights`, both `[rows, length]`."""

    ids: NDArray[np.int16]
    weights: NDArray[np.float16]


def thread_ids(encoder: Encoder, turns: Sequence[Turn]) -> list[int]:
    """The ids of closed turns, in the chat template's form."""
    return [i for turn in turns for i in (encoder.role(turn.role), *encoder.text(turn.text), encoder.end)]


def rows_of(encoder: Encoder, chats: list[list[Turn]]) -> list[Row]:
    """Encode chats, all their pieces in one call of the tokenizer."""
    parts = [p for chat in chats for turn in chat for p in (turn.pieces or ((turn.text, CONTEXT),))]
    encoded = iter(encoder.texts([text for text, _ in parts]))
    rows = []
    for chat in chats:
        ids: list[int] = []
        weights: list[float] = []
        for turn in chat:
            ids.append(encoder.role(turn.role))
            weights.append(0.0)
            for _, weight in turn.pieces or ((turn.text, CONTEXT),):
                piece = next(encoded)
                ids += piece
                weights += [weight] * len(piece)
            ids.append(encoder.end)
            weights.append(PLAIN if turn.pieces else 0.0)
        rows.append(Row(ids, weights))
    return rows


def recall_pieces(names: Names) -> list[tuple[str, float]]:
    """Pairs of names and values, then the same pairs in another order with loss on what can be recalled."""
    names.reset()
    # Digits and letters too: nothing else would teach the base to write every one of them.
    makers = (names.name, names.year, lambda: names.person()[0], lambda: names.random.choice("YN0123456789"))
    pairs = [(names.name(), names.random.choice(makers)()) for _ in range(names.random.randint(3, 8))]
    again = names.random.sample(pairs, len(pairs))
    first = [(f" {key} {value}.", 0.0) for key, value in pairs]
    return first + [p for key, value in again for p in ((f" {key}", 0.0), (f" {value}", PLAIN), (".", 0.0))]


def recall_rows(encoder: Encoder, seed: int, count: int) -> list[Row]:
    """Rows that train copying alone; without them it takes long to begin."""
    names = Names(seed, "train")
    lists = [recall_pieces(names) for _ in range(count)]
    encoded = iter(encoder.texts([text for pieces in lists for text, _ in pieces]))
    rows = []
    for pieces in lists:
        parts = [(next(encoded), weight) for _, weight in pieces]
        rows.append(Row([i for p, _ in parts for i in p], [w for p, w in parts for _ in p]))
    return rows


def pad(rows: list[Row], length: int) -> Batch:
    """Rows padded on the right; padding weighs nothing."""
    ids = np.zeros((len(rows), length), np.int16)
    weights = np.zeros((len(rows), length), np.float16)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        weights[i, : len(row.ids)] = row.weights
    weights[:, 0] = 0
    return Batch(ids, weights)


def batches(rows: list[Row], tokens: int, random: Random) -> list[Batch]:
    """Batches of about `tokens` tokens in random order; a bucket's last, short batch is left out."""
    out = []
    random.shuffle(rows)
    for low, length in zip((0, *LENGTHS), LENGTHS, strict=False):
        bucket = [r for r in rows if low < len(r.ids) <= length]
        size = tokens // length
        out += [pad(bucket[k : k + size], length) for k in range(0, len(bucket) - size + 1, size)]
    random.shuffle(out)
    return out


def shard(encoder: Encoder, seed: int, size: Size, count: int, recall: float, tokens: int) -> list[Batch]:
    """A seeded piece of training data: `count` chats and, in proportion `recall`, lists to copy."""
    rows = rows_of(encoder, list(training_chats(seed, size, count)))
    rows += recall_rows(encoder, seed, int(count * recall))
    return batches(rows, tokens, Random(seed))
