"""Which tokens are computed in which step. Integers only; nothing here imports torch.

Order is everything: requests are admitted in the order of submission, and nobody computes what an older one is about
to. So

- whoever was submitted first computes a shared prefix, and later ones read it, even in the same step;
- running requests are always older than waiting ones, and only the youngest running one is preempted:
  the oldest always gets on, hence no deadlock (submission refuses what the whole arena could not hold).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from math import inf

from alora_runtime.cache.extents import Extent, joined, size, window, without
from alora_runtime.cache.node import CacheNode
from alora_runtime.cache.tree import Labelled, RunTree, Uses
from alora_runtime.schedule.pace import FEW, UNHURRIED, Pace
from alora_runtime.schedule.pins import Pins
from alora_runtime.schedule.retention import Retention
from alora_runtime.schedule.sequence import Live, Piece, Plan, Row, cut

TAIL = 64
"""Slots asked for at a time for what a request generates; taken in place where the arena allows."""

SHARE = 32
"""At admission a request gets slots for all it may generate where that is at most this part of the free ones: siblings
whose tails stay where they are attend as one batch in place, and those that move are gathered in every step."""

AT_ONCE: Uses = ((sys.maxsize, 1),)
"""A preempted request goes on from what it leaves as soon as it can."""


class Scheduler:
    """Continuous batching over a run tree. `chunk_tokens`: most prompt tokens in one step; `pace` may allow fewer."""

    def __init__(
        self, tree: RunTree, chunk_tokens: int = 2048, most_running: int = 256, pace: Pace = UNHURRIED
    ) -> None:
        self.tree, self.chunk_tokens, self.most_running, self.pace = tree, chunk_tokens, most_running, pace
        self.pins = Pins(tree)
        self.retention = Retention(tree)
        self.waiting: deque[Live] = deque()
        self.running: list[Live] = []
        self._pinning: set[Live] = set()  # those that were to be pinned when they came
        self.preempted = 0
        self.recomputed = 0  # prompt and fed tokens computed once more after a preemption

    @property
    def busy(self) -> bool:
        """Whether anything is waiting or running."""
        return bool(self.waiting or self.running)

    def add(self, live: Live) -> None:
        """A new request, younger than all before."""
        self.waiting.append(live)
        if live.pin is not None:
            self._pinning.add(live)

    def check_pins(self, live: Live) -> None:
        """Raises CapacityError where a new request could have to wait for ever for what is pinned, or others for it."""
        if live.pin is not None or self._pinning or self.pins.ends:
            self.pins.check(live, [*self.running, *self.waiting], self._labelled)

    def release(self, pin: str) -> None:
        """Let go of what is pinned under a name, or will be."""
        for live in (*self.running, *self.waiting):
            live.pin = None if live.pin == pin else live.pin
        self.pins.release(pin)

    def plan(self, hurried: bool = True) -> Plan:
        """What the next step computes: every token that running requests wait for, then prompts within the budget: of
        tokens, and where it is hurried of time."""
        plan = Plan(self.chunk_tokens, self.pace.work if hurried else inf)
        for live in list(self.running):
            if live.prompt_done and live.used < live.seen and live.pending == 1 and live.trie is None:
                live.used += 1
                live.fed += 1
                plan.decoding.append(live)
            elif live.prompt_done and live.leaf is not None:
                self._plan_tail(live, plan)
        self._plan_prompts(plan)
        return plan

    def _plan_prompts(self, plan: Plan) -> None:
        """Half of the budget is the oldest's, so that it gets on; then come those that have least left to compute, so
        that a short one does not wait for a long one."""
        going = [live for live in self.running if not live.prompt_done]
        first = self._first_to_compute(going)
        others = bool(self.waiting) or len(going) > 1
        for live in going[:1]:
            self._plan_prompt(live, plan, part=0.5 if others else 1.0)
        if others:  # what the oldest computes at least is not at their cost
            plan.work = max(plan.work, FEW)
        for live in sorted(going[1:], key=self._missing):
            if first.get(self._next_node(live), live) is live:
                self._plan_prompt(live, plan)
        while self.waiting and plan.budget and plan.work > 0 and len(self.running) < self.most_running:
            if not self._admit():
                break
            node = self._next_node(self.running[-1])
            # What is not computed yet, only prompts on their way to it refer to; and all others are older.
            if node.references == 1 or node.planned == len(node.tokens):
                self._plan_prompt(self.running[-1], plan)
        if plan.budget and plan.work > 0:
            going = [live for live in self.running if not live.prompt_done]
            first = self._first_to_compute(going)
            for live in going:
                if first.get(self._next_node(live), live) is live:
                    self._plan_prompt(live, plan)

    def _first_to_compute(self, going: Sequence[Live]) -> dict[CacheNode, Live]:
        """Of each run that is not computed yet, the oldest of those whose prompts pass through it."""
        first: dict[CacheNode, Live] = {}
        for live in going:
            node = live.leaf
            while node is not None and node.planned < len(node.tokens):
                first.setdefault(node, live)
                node = node.parent
        return first

    def _missing(self, live: Live) -> int:
        assert live.leaf is not None
        return live.leaf.end - self.tree.planned(live.leaf)

    def _next_node(self, live: Live) -> CacheNode:
        """The run that has its next token to compute; the last one, where all are computed."""
        node = live.leaf
        assert node is not None
        while node.parent is not None and node.parent.planned < len(node.parent.tokens):
            node = node.parent
        return node

    def commit(self, plan: Plan, rows: Sequence[Row]) -> list[tuple[Live, list[Row]]]:
        """The step was computed; `rows` belong to the pieces that keep one. Returns who can go on, with what: not those
        that are spoiled, which keep what is sound and have to be cancelled."""
        for live, position in plan.spoiled.items():
            self._spoil(live, position)
        self.tree.commit()
        if len(plan.decoding) == len(self.running) and not plan.spoiled:
            return [(live, [row]) for live, row in zip(plan.decoding, rows, strict=True)]
        kept: dict[Live, list[Row]] = {}
        remaining = iter(rows)
        for live in plan.decoding:
            kept[live] = [next(remaining)]
        for piece in plan.pieces:
            if isinstance(piece.row, Live):
                kept.setdefault(piece.row, []).append(next(remaining))
                continue
            if piece.row is not None:
                piece.row.row = next(remaining)
            self._account(piece)
        ready = []
        for live in self.running:
            if not live.prompt_done:
                self._complete_prompt(live)
            if live in plan.spoiled:
                continue
            own = kept.get(live, [])
            if live.prompt_done and not live.opened and (own or not live.pending):
                assert live.leaf is not None
                assert live.leaf.row is not None
                own = [live.leaf.row, *own]
                live.opened = True
            if own:
                ready.append((live, own))
        return ready

    def abort(self, plan: Plan) -> None:
        """The step failed; the same may be planned again."""
        self.tree.abort()
        for live in plan.decoding:
            live.used -= 1
            live.fed -= 1
        for piece in plan.pieces:
            if isinstance(piece.row, Live):
                piece.live.used -= piece.length
                piece.live.fed -= 0 if piece.live.trie else piece.length

    def _spoil(self, live: Live, position: int) -> None:
        """What the step computed for a request does not count from `position` on."""
        if not live.prompt_done:
            assert live.leaf is not None
            self.tree.cut(live.leaf, position)
        elif live.trie is None:
            lost = live.prompt + live.fed - position
            live.used -= lost
            live.fed -= lost

    def finish(self, live: Live) -> None:
        """Leave the engine; what was computed stays in the tree, as prompt + everything fed."""
        self._pinning.discard(live)
        self.running.remove(live)
        self._seal(live, live.uses, live.pin, live.retain)

    def cancel(self, live: Live) -> None:
        """Leave the engine at any moment between two steps."""
        self._pinning.discard(live)
        if live in self.waiting:
            self.waiting.remove(live)
        else:
            self.finish(live)

    def keep_row(self, live: Live, count: int, row: Row) -> None:
        """Of the last of the first `count` tokens that one has generated who has left: for a request that goes on from
        there."""
        end = live.prompt + count
        node = self.tree.find(cut(live.sequence(), 0, end)) if self.tree.keep else self.tree.root
        if node.end == end:
            node.row = row

    def _admit(self) -> bool:
        live = self.waiting[0]
        self.tree.order.turn(live.ticket)
        # A token for each running request, so that it is not preempted in the very next step.
        spare = len(self.running) + 1 if self.running else 0
        # A power of two, so that requests that are admitted together get tails of one size.
        spacious = 1 << (self.tree.pool.free // SHARE).bit_length() >> 1
        tail = min(live.room, max(TAIL, spacious))
        leaf = self.tree.admit(self._labelled(live), spare, tail)
        if leaf is None:
            assert self.running, "a request that was accepted does not fit into an empty arena"
            return False
        self.running.append(self.waiting.popleft())
        live.enter(leaf)
        live.reserve([self.tree.pool.take_at(live.path[-1].end, tail)])
        return True

    def _labelled(self, live: Live) -> Sequence[Labelled]:
        """The sequence under the labels that the tree shares by: the adapter, and with no reuse also the request."""
        if self.tree.keep:
            return live.sequence()
        return [((adapter, live.ticket), tokens) for adapter, tokens in live.sequence()]

    def _plan_prompt(self, live: Live, plan: Plan, part: float = 1.0) -> None:
        """part: of what is left of the step, most that it gets."""
        assert live.leaf is not None
        start, total = self.tree.planned(live.leaf), live.leaf.end
        fast = self.pace.reach(part * plan.work, start)
        most = min(max(min(1, plan.budget), int(part * plan.budget)), fast if plan.pieces else max(FEW, fast))
        end = min(total, start + most)
        missing = not live.opened and live.leaf.row is None and live.leaf not in plan.rows
        row = missing and end == total and plan.budget > 0
        if start < end or row:
            again = start == total  # the whole prompt is there, but not the row of its last token
            begin = total - 1 if again else start
            slots = None if again else window(live.path, start, end)
            runs = cut(live.sequence(), begin, end)
            plan.pieces.append(Piece(live, runs, begin, slots, window(live.path, 0, end), live.leaf if row else None))
            plan.budget -= end - begin
            plan.work -= self.pace.cost(begin, end)
            self.tree.plan(live.leaf, end)
            if row:
                plan.rows.add(live.leaf)
        # The trie goes along where budget and arena have room for all of it, else in the next step, which may preempt:
        # in this one, whoever had to go may have been planned already.
        whole = end == total and not live.used
        if live.trie and whole and 0 < live.pending <= plan.budget and self._extend(live, live.pending):
            plan.budget -= live.pending
            self._plan_trie(live, plan)

    def _plan_tail(self, live: Live, plan: Plan) -> None:
        count = live.pending
        if not count or not self._grow(live, count):
            return
        if live.trie:
            self._plan_trie(live, plan)
            return
        live.use(count)
        live.fed += count
        if count == 1:
            plan.decoding.append(live)
        else:
            plan.pieces.append(live.fed_piece(count))

    def _plan_trie(self, live: Live, plan: Plan) -> None:
        assert live.trie is not None
        live.use(live.pending)
        slots = trie_slots(live)
        for node, token in enumerate(live.trie.tokens):
            context = joined([*live.path, *(slots[above] for above in live.trie.ancestors(node))])
            start = live.prompt + live.trie.depths[node]
            plan.pieces.append(Piece(live, ((live.adapter, (token,)),), start, [slots[node]], context, live))

    def _grow(self, live: Live, count: int) -> bool:
        """Room for `count` more tokens, if need be from the youngest; False when that was `live` itself."""
        while not self._extend(live, count):
            victim = self.running[-1]
            self._preempt(victim)
            if victim is live:
                return False
        return True

    def _extend(self, live: Live, count: int) -> bool:
        """Room for `count` more tokens where nobody who runs has to give it; False where there is none."""
        missing = live.used + count - live.reserved
        if missing <= 0 or not self.tree.make_room(missing):
            return missing <= 0
        end = live.tail[-1].end if live.tail else live.path[-1].end
        wish = max(missing, min(TAIL, live.room - live.reserved, self.tree.available))
        self.tree.make_room(wish)
        live.reserve(joined([*live.tail, *self.tree.pool.grow(end, missing, wish)]))
        return True

    def _preempt(self, live: Live) -> None:
        self.running.remove(live)
        self._seal(live, AT_ONCE)
        self.waiting.appendleft(live)
        self.preempted += 1

    def _seal(self, live: Live, uses: Uses, pin: str | None = None, retain: bool = False) -> None:
        """What was fed becomes a run of the tree, and the rest of the tail is free again."""
        assert live.leaf is not None
        label, _ = self._labelled(live)[-1]
        slots, tokens = self._fed(live)
        for extent in without(live.tail, slots):
            self.tree.pool.give(extent)
        end = self.tree.graft(live.leaf, label, tokens, slots)
        self.tree.expect(end, uses, live.ticket)
        if pin is not None:
            self.pins.add(pin, end)
        if retain and self.tree.keep:
            self.retention.add(live.ticket, end)
        self.tree.release(live.leaf)
        live.leave()

    def _fed(self, live: Live) -> tuple[list[Extent], tuple[int, ...]]:
        """Slots and tokens of the tail that belong to the sequence."""
        if live.trie is None:
            before = live.fed - live.used
            return window(live.tail, 0, live.used), tuple(live.generated[before : live.fed])
        tokens = tuple(live.generated[:-1])
        if not tokens or not live.used:
            return [], ()
        slots = trie_slots(live)
        return joined(slots[node] for node in live.trie.ancestors(live.trie.node(tokens))), tokens

    def _account(self, piece: Piece) -> None:
        live = piece.live
        end = piece.start + piece.length
        new = max(0, min(end, live.prompt) - max(piece.start, live.counted))
        live.prefilled += new
        live.counted = max(live.counted, min(end, live.prompt))
        self.recomputed += piece.length - new

    def _complete_prompt(self, live: Live) -> None:
        leaf = live.leaf
        assert leaf is not None
        live.prompt_done = leaf.ready == len(leaf.tokens) and (live.opened or leaf.row is not None)
        if live.prompt_done:
            live.counted = live.prompt

    def check(self) -> None:
        """Prove that every slot has exactly one owner and every node as many references as requests on it."""
        self.tree.check()
        self.retention.check()
        owned = bytearray(self.tree.pool.total)
        tails = [extent for live in self.running for extent in live.tail]
        nodes = list(self.tree.nodes())
        for extent in [*self.tree.pool.gaps, *tails, *(Extent(node.start, len(node.tokens)) for node in nodes)]:
            assert not any(owned[extent.start : extent.end]), f"{extent} has two owners"
            owned[extent.start : extent.end] = b"\1" * extent.length
        assert all(owned), "a slot has no owner"
        assert self.tree.pool.free == size(self.tree.pool.gaps)
        ends = [live.leaf for live in self.running if live.leaf is not None]
        ends += [end for pinned in self.pins.ends.values() for end in pinned]
        passing = [node for end in ends for node in end.path()]
        assert all(node.references == passing.count(node) for node in nodes)
        order = [live.ticket for live in (*self.running, *self.waiting)]
        assert order == sorted(order), "a younger request runs while an older one waits"


def trie_slots(live: Live) -> list[Extent]:
    """The slot of each trie node: the tail in order."""
    return [Extent(slot, 1) for extent in live.tail for slot in range(extent.start, extent.end)]
