"""Turns to token ids with loss weights, and ids to batches of a few fixed shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import numpy as np
from numpy.typing import NDArray

from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.calls import BEFORE, INVOCATIONS
from alora_flow.mini.world.chat import Size, WorldTurn
from alora_flow.mini.world.corpus import recitals, training_chats
from alora_flow.mini.world.names import Names
from alora_flow.mini.world.pieces import PLAIN, VALUE
from alora_flow.mini.world.tasks import Case
from alora_flow.training.samples import TrainingSample

# A little loss on documents and questions helps to start; more of it drowns the answers.
CONTEXT = 0.02
# Few lengths, so that a compiled step is compiled few times.
LENGTHS = (96, 160, 224, 288, 384, 512)


@dataclass(frozen=True)
class Row:
    """One training text: ids, the loss weight of predicting each, and where its turn begins (none: no turn)."""

    ids: list[int]
    weights: list[float]
    starts: list[int] = field(default_factory=list)

    def sources(self) -> dict[int, int]:
        """Where the token after a place is copied from: values whose token occurs once before.

        An answer's first source is that of its role's token too, so that what is asked for is looked up before the
        answer begins; an intrinsic's invocation stands at such a place.
        """
        found, seen = dict[int, int](), dict[int, list[int]]()
        for place, (token, weight) in enumerate(zip(self.ids, self.weights, strict=True)):
            before = seen.setdefault(token, [])
            if weight == VALUE and len(before) == 1:
                found[place - 1] = before[0]
            before.append(place)
        for start, end in pairwise([*self.starts, len(self.ids)]):
            first = next((place for place in range(start, end) if place in found), None)
            if first is not None and self.weights[start + 1]:
                found[start] = found[first]
        return found


@dataclass(frozen=True)
class PaddedBatch:
    """Rows padded to one length, `[rows, length]` each.

    `sources` says, one more than its place and 0 for none, which earlier token the next one is copied from.
    """

    ids: NDArray[np.int16]
    weights: NDArray[np.float16]
    sources: NDArray[np.int16]


def thread_ids(encoder: Encoder, turns: Sequence[WorldTurn]) -> list[int]:
    """The ids of closed turns, in the chat template's form."""
    return [i for turn in turns for i in (encoder.role(turn.role), *turn_ids(encoder, turn), encoder.end)]


def turn_ids(encoder: Encoder, turn: WorldTurn) -> list[int]:
    """The ids of what a turn says, its calls included."""
    called = any(text in INVOCATIONS for text, _ in turn.pieces)
    return piece_ids(encoder, [text for text, _ in turn.pieces] if called else [turn.text])


def piece_ids(encoder: Encoder, pieces: Sequence[str]) -> list[int]:
    """The ids of what a model wrote, piece by piece: an invocation is one token, all else is plain text."""
    spelt = ([encoder.role(INVOCATIONS[text])] if text in INVOCATIONS else encoder.text(text) for text in pieces)
    return [i for ids in spelt for i in ids]


def context(encoder: Encoder, name: str, case: Case) -> list[int]:
    """What stands before the invocation. Inside a turn it follows the assistant's role, or an answer that is open."""
    ids = thread_ids(encoder, case.turns)
    if not case.inside:
        return ids
    return [*ids, encoder.assistant] if name == BEFORE else ids[:-1]


def samples(encoder: Encoder, name: str, cases: Sequence[Case]) -> list[TrainingSample]:
    """An intrinsic's cases as tokens: its role token invokes it."""
    return [
        TrainingSample(
            tuple(context(encoder, name, case)),
            (encoder.role(name), *piece_ids(encoder, case.called)),
            # A call is not the end: what follows it is another case.
            (*piece_ids(encoder, [case.answer]), *([] if case.answer in INVOCATIONS else [encoder.end])),
        )
        for case in cases
    ]


def rows_of(encoder: Encoder, chats: list[list[WorldTurn]]) -> list[Row]:
    """Encode chats, all their pieces in one call of the tokenizer."""
    parts = [p for chat in chats for turn in chat for p in (turn.pieces or ((turn.text, CONTEXT),))]
    encoded = iter(encoder.texts([text for text, _ in parts]))
    called = {text: [encoder.role(name)] for text, name in INVOCATIONS.items()}
    rows = []
    for chat in chats:
        ids: list[int] = []
        weights: list[float] = []
        starts: list[int] = []
        for turn in chat:
            starts.append(len(ids))
            ids.append(encoder.role(turn.role))
            weights.append(0.0)
            for text, weight in turn.pieces or ((turn.text, CONTEXT),):
                piece = called.get(text, next(encoded)) if turn.pieces else next(encoded)
                ids += piece
                weights += [weight] * len(piece)
            ids.append(encoder.end)
            weights.append(PLAIN if turn.pieces else 0.0)
        rows.append(Row(ids, weights, starts))
    return rows


def recall_pieces(names: Names) -> list[tuple[str, float]]:
    """Pairs of names and values, then the same pairs in another order with loss on what can be recalled."""
    names.reset()
    # Digits and letters too: nothing else would teach the base to write every one of them.
    makers = (names.name, names.year, lambda: names.person()[0], lambda: names.random.choice("YN0123456789"))
    pairs = [(names.name(), names.random.choice(makers)()) for _ in range(names.random.randint(3, 8))]
    again = names.random.sample(pairs, len(pairs))
    first = [(f" {key} {value}.", 0.0) for key, value in pairs]
    return first + [p for key, value in again for p in ((f" {key}", 0.0), (f" {value}", VALUE), (".", 0.0))]


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


def pad(rows: list[Row], length: int) -> PaddedBatch:
    """Rows padded on the right; padding weighs nothing."""
    ids = np.zeros((len(rows), length), np.int16)
    weights = np.zeros((len(rows), length), np.float16)
    sources = np.zeros((len(rows), length), np.int16)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        weights[i, : len(row.ids)] = row.weights
        for place, source in row.sources().items():
            sources[i, place] = source + 1
    weights[:, 0] = 0
    return PaddedBatch(ids, weights, sources)


def batches(rows: list[Row], tokens: int, random: Random) -> list[PaddedBatch]:
    """Batches of about `tokens` tokens in random order; a bucket's last, short batch is left out."""
    out = []
    random.shuffle(rows)
    for low, length in zip((0, *LENGTHS), LENGTHS, strict=False):
        bucket = [r for r in rows if low < len(r.ids) <= length]
        size = tokens // length
        out += [pad(bucket[k : k + size], length) for k in range(0, len(bucket) - size + 1, size)]
    random.shuffle(out)
    return out


def shard(encoder: Encoder, seed: int, size: Size, count: int, recall: float, tokens: int) -> list[PaddedBatch]:
    """A seeded piece of training data: `count` chats and, in proportion `recall`, lists to copy."""
    rows = rows_of(encoder, [*training_chats(seed, size, count), *recitals(seed, size, count // 2)])
    rows += recall_rows(encoder, seed, int(count * recall))
    return batches(rows, tokens, Random(seed))
