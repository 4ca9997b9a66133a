"""Numbers that are not finite stay with the sequence that they come from.

Rows of a batch meet in attention: it reads slots of others and gives them no weight, and nothing times infinity is not
nothing. Making every operation proof against that would cost every step; looking at a step's results costs next to
nothing. So a step in which anything is not finite is computed once more, each piece by itself on an arena that is
finite everywhere; what then still is not is the piece's own, and its request ends.
"""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from alora_runtime.cache.extents import Extent, window
from alora_runtime.compute.attention import picked
from alora_runtime.compute.batch import Batch, Batcher, numbers
from alora_runtime.compute.model import LanguageModel
from alora_runtime.schedule.sequence import Piece, Plan, Row


def finite(rows: Tensor, batch: Batch) -> bool:
    """Whether all that a step computed is: the rows that it keeps, and KV in every layer. Sums, because one pass over
    the numbers is enough for them; a sum that overflows where no number did costs a step, no answer."""
    arena, slots = batch.arena, batch.slots
    written = arena[:, slots] if isinstance(slots, slice) else picked(arena, slots)
    return isfinite(float(rows.sum())) and isfinite(float(written.sum()))


def apart(plan: Plan, batcher: Batcher, model: LanguageModel) -> list[Row]:
    """Compute a step again piece by piece; the rows that it keeps, None for those of a piece that is not finite.

    Notes in `plan.spoiled` from which position on a request is not finite. The arena is left finite everywhere.
    """
    wipe(plan, batcher.arena)
    pieces = [*(live.fed_piece(1) for live in plan.decoding), *plan.pieces]
    spoiled: list[Extent] = []
    rows: list[Row] = []
    for piece in pieces:  # whoever computes a shared prefix comes before those that read it
        sound, row = 0, None
        if not _meet(window(piece.context, 0, piece.start + piece.length), spoiled):
            sound, row = _sound(piece, batcher, model)
        if sound < piece.length:
            spoiled += window(piece.slots or [], sound, piece.length)
            known = plan.spoiled.get(piece.live, piece.start + sound)
            plan.spoiled[piece.live] = min(known, piece.start + sound)
        if piece.row is not None:
            rows.append(row)
    _clear(batcher.arena, [Extent(batcher.arena.shape[1] - 1, 1)])
    return rows


def wipe(plan: Plan, arena: Tensor) -> None:
    """Leave nothing in the arena of a step that is not committed: it may have failed before anything was looked at."""
    for live in plan.decoding:
        _clear(arena, [Extent(live.slot(live.used - 1), 1)])
    for piece in plan.pieces:
        _clear(arena, piece.slots or [])
    _clear(arena, [Extent(arena.shape[1] - 1, 1)])  # where rows write whose KV is in place


def _sound(piece: Piece, batcher: Batcher, model: LanguageModel) -> tuple[int, Row]:
    """Compute one piece: how many of its tokens are finite, up to the first that is not, and its last row if all are.

    In one pass the tokens before that one suffer from it as well, so it is looked for by halves.
    """
    rows = model.rows(batcher.build(Plan(0, pieces=[piece])))
    if piece.slots is None or torch.isfinite(batcher.arena[:, numbers(piece.slots)]).all():
        return piece.length, rows[0] if piece.row is not None else None
    _clear(batcher.arena, piece.slots)
    half = piece.length // 2
    if not half:
        return 0, None
    sound, _ = _sound(piece.part(0, half), batcher, model)
    if sound < half:
        return sound, None
    more, row = _sound(piece.part(half, piece.length), batcher, model)
    return half + more, row


def _clear(arena: Tensor, slots: list[Extent]) -> None:
    for slot in slots:
        arena[:, slot.start : slot.end] = 0


def _meet(left: list[Extent], right: list[Extent]) -> bool:
    return any(one.start < other.end and other.start < one.end for one in left for other in right)
