"""What calls by the model itself cost: `python -m benchmarks.calls [--repeats N] [--threads N] [--processor-time]`.

A base model reads 2,048 tokens and writes 88, with four calls of an adapter in between; each call is an invocation of
three tokens, an answer of four, and both stay in the context. Prints a Markdown table of medians with their extremes.
"""

from __future__ import annotations

import os

# As the engine does, but before torch comes in with a peer: peers get the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer, models
from transformers import DynamicCache
from transformers.utils import logging

from alora_flow.intrinsics.library import BUNDLED
from alora_runtime import Engine, Request, Run, TextTrigger, Trigger
from alora_runtime.answer.constraints import Vocabulary
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.answer.watch import Watch
from alora_runtime.calls.records import Callee, Caller
from alora_runtime.calls.serving import Switchboard
from alora_runtime.tokenizer_file import load_tokenizer
from benchmarks.engine_models import INVOCATION, SHAPES, make_adapter, make_model
from benchmarks.engine_peers import by_hand, generate, load_peft
from benchmarks.engine_timing import Job, Row, Times, at_least, at_most, side_by_side, table

CONTEXT, CALLS, SEGMENT, ANSWER = 2048, 4, 15, 4
"""Tokens that are read; calls; tokens of the caller before each call, and after the last; tokens of an answer."""
PERIOD = SEGMENT + len(INVOCATION)
WRITTEN = CALLS * PERIOD + SEGMENT + 1
"""Tokens of the caller, invocations among them."""
VOCABULARY = SHAPES["27M"]["vocabulary"]


@dataclass(frozen=True)
class Calling:
    """A constraint by which a random model calls at fixed places, and writes what it wants at all others."""

    def matcher(self, _: Any) -> Places:
        """At the first place."""
        return Places()


class Places:
    """`Calling` under way."""

    done, accepting = False, False
    everything = b"\xff" * (VOCABULARY // 8)

    def __init__(self) -> None:
        self.place = 0

    def forced(self) -> list[int]:
        """Nothing: each token is computed, as a model's own would be."""
        return []

    def mask(self) -> bytes:
        """One token, or all."""
        within = self.place % PERIOD - SEGMENT
        if within < 0 or self.place >= CALLS * PERIOD:
            return self.everything
        return (1 << INVOCATION[within]).to_bytes(VOCABULARY // 8, "little")

    def accept(self, token: int) -> None:
        """On to the next place."""
        self.place += 1


def context_of(seed: int) -> list[int]:
    """Random ids."""
    return random.Random(seed).choices(range(10, VOCABULARY - 10), k=CONTEXT)


def request_of(context: Sequence[int]) -> Request:
    """What the caller is asked."""
    return Request([Run(context)], max_tokens=WRITTEN, constraint=Calling(), ignore_eos=True)


def calling(engine: Engine, context: Sequence[int]) -> list[list[int]]:
    """The engine: one generation that calls. Returns the caller's own tokens, and the answers."""
    engine.forget()
    answer = Request((), max_tokens=ANSWER, ignore_eos=True)
    callee = Callee(Trigger("a", INVOCATION), "a", answer)
    exchange = Switchboard(engine).generate([Caller(request_of(context), [callee], CALLS)])[0]
    return [list(exchange.completion.tokens), *(list(call.answer.tokens) for call in exchange.calls if call.answer)]


def without_calls(engine: Engine, context: Sequence[int]) -> None:
    """The engine: as many tokens without any call, and the adapter's own work at the same places."""
    engine.forget()
    written = engine.generate([request_of(context)])[0].tokens
    for number in range(CALLS):
        before = Run((*context, *written[: number * PERIOD + SEGMENT]))
        engine.generate([Request([before, Run(INVOCATION, "a")], max_tokens=ANSWER, ignore_eos=True)])


def sent_again(peft: PeftModel, context: Sequence[int]) -> list[list[int]]:
    """PEFT: the whole context for each call, and once more to go on."""
    sequence, reply, answers = list(context), [], []
    for number in range(CALLS + 1):
        last = number == CALLS
        with peft.disable_adapter():
            # An invocation is written token by token, which is what these last tokens stand for.
            grown = generate(peft.get_base_model(), [sequence], SEGMENT + (1 if last else len(INVOCATION)))[0]
        grown = grown if last else grown[:SEGMENT]
        reply += grown
        sequence += grown
        if not last:
            answers.append(generate(peft, [[*sequence, *INVOCATION]], ANSWER)[0])
            sequence += [*INVOCATION, *answers[-1]]
    return [reply, *answers]


def carried(peft: PeftModel, context: Sequence[int]) -> list[list[int]]:
    """PEFT: one cache, cropped and gone on from by hand; the adapter is a plain LoRA that is switched on."""
    model, cache = peft.get_base_model(), DynamicCache()
    fed: list[int] = list(context)
    reply, answers = [], []
    for number in range(CALLS + 1):
        last = number == CALLS
        with peft.disable_adapter():
            grown = by_hand(model, cache, fed, SEGMENT + last)
            reply += grown
            if last:
                break
            for token in (grown[-1], *INVOCATION[:-1]):  # as if it wrote the invocation
                by_hand(model, cache, [token], 1)
        cache.crop(-(len(INVOCATION) - 1))
        answers.append(by_hand(model, cache, INVOCATION, ANSWER))
        cache.crop(-(len(INVOCATION) + ANSWER - 1))
        fed = [*INVOCATION, *answers[-1]]
    return [reply, *answers]


def matching(repeats: int) -> Row:
    """64 invocations of one to eight tokens, on tokens half of which begin one: processor time."""
    chance = random.Random(0)
    words = {tuple(chance.choices(range(50), k=chance.randint(1, 8))) for _ in range(80)}
    triggers = [Trigger(str(index), (60, *word)) for index, word in enumerate(sorted(words)[:64])]
    parts = [(*chance.choice(triggers).tokens[:-1], *chance.choices(range(50), k=3)) for _ in range(20_000)]
    tokens = [token for part in parts for token in part]
    taken = []
    for _ in range(repeats):
        watch, began = Watch(triggers, None, None), time.process_time()
        for token in tokens:
            watch.push(token)
            _ = watch.clear
        taken.append((time.process_time() - began) / len(tokens))
    return matched("matching 64 invocations, a token", taken, len(tokens))


def mixed(repeats: int) -> Row:
    """64 invocations of three kinds, tokens, text, and control tokens with text between, on an answer half of which
    begins one: processor time beside that of the text alone."""
    tokenizer, chance = load_tokenizer(BUNDLED["mini"]), random.Random(0)
    names = [f"look{number}" for number in chance.sample(range(1000), 64)]
    triggers = [
        Trigger(name, (60, *chance.choices(range(50), k=3)))
        if number % 3 == 0
        else TextTrigger(name, f"<call>{name}(")
        if number % 3 == 1
        else TextTrigger(name, f"<|reserved_0|>{name}<|reserved_1|>", control=True)
        for number, name in enumerate(names)
    ]
    tokens: list[int] = []
    for name in chance.choices(names, k=3000):
        begun = tokenizer.encode(chance.choice(["<call>", "<|reserved_0|>"]) + name, add_special_tokens=False).ids
        tokens += [*begun[:-1], *chance.choices(range(300, 1300), k=5)]
    taken = []
    for _ in range(repeats):
        spent = []
        for watched in (False, True):
            text = Detokenizer(tokenizer)
            watch, began = Watch(triggers, text, Vocabulary(tokenizer)), time.process_time()
            for token in tokens:
                text.push(token)
                if watched:
                    watch.push(token)
                    _ = watch.clear
            spent.append(time.process_time() - began)
        taken.append((spent[1] - spent[0]) / len(tokens))
    return matched("the same of three kinds, text among them", taken, len(tokens))


def matched(figure: str, taken: list[float], count: int) -> Row:
    """So many seconds a token, of so many tokens."""
    found = Times(tuple(taken))
    micros = f"{found.middle * 1e6:.2f} µs ({min(taken) * 1e6:.2f} … {max(taken) * 1e6:.2f})"
    return Row(figure, "≤ 5 µs", micros, f"{count} tokens", found.middle <= 5e-6)


def rows(home: Path, repeats: int, clock: Callable[[], float]) -> list[Row]:
    """All of the table."""
    model = make_model(home / "27M", "27M")
    words = models.WordLevel({str(token): token for token in range(VOCABULARY)}, unk_token="0")
    Tokenizer(words).save(str(model / "tokenizer.json"))  # the engine wants one beside a constraint
    activated = {"a": make_adapter(home / "activated", model, 1)}
    plain = {"a": make_adapter(home / "plain", model, 1, activated=False)}
    engine, again, hand = Engine.load(model, activated), load_peft(model, activated), load_peft(model, plain)
    first = context_of(0)
    same = calling(engine, first) == sent_again(again, first) == carried(hand, first)
    jobs: dict[str, Callable[[Sequence[int]], object]] = {
        "engine": partial(calling, engine),
        "without": partial(without_calls, engine),
        "again": partial(sent_again, again),
        "by hand": partial(carried, hand),
    }
    # A new context in each round, the same one for all.
    fresh = {name: map(context_of, count(1)) for name in jobs}

    def prepared(name: str) -> Job:
        return partial(jobs[name], next(fresh[name]))

    times = side_by_side({name: partial(prepared, name) for name in jobs}, repeats, clock)
    own = times["engine"]
    told = "four calls: tokens of the engine, of PEFT sent again, and of PEFT by hand"
    return [
        Row(told, "equal", "equal" if same else "not equal", "", same),
        at_least("four calls: sent again to PEFT / engine", 5, times["again"], own, ("sent again", "engine")),
        at_least("four calls: PEFT by hand / engine", 1, times["by hand"], own, ("by hand", "engine")),
        at_most("four calls / no call, and the adapter's work", 1.15, own, times["without"], ("calls", "without")),
        matching(repeats),
        mixed(repeats),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="instead of the clock's, on a busy machine")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as home:
        clock = time.process_time if options.processor_time else time.perf_counter
        print(table(rows(Path(home), options.repeats, clock)))


if __name__ == "__main__":
    main()
