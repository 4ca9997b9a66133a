"""Flows whose model calls intrinsics, tools, and intrinsics that call, against a re-enactment in plain Python: one full
forward pass for each token, of the whole sequence with the adapter that each of its tokens has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from alora_flow import RunFailed
from alora_flow.module import Module
from alora_flow.planning.setup import Setup
from tests.execution.forced import Part, forced
from tests.execution.test_own_calls import engine_of
from tests.runtime.checkpoints import Oracle

FLOW = """
model base = "mini"
intrinsic certainty() -> float[0.0..1.0] {
  adapter "uncertainty" emits int[0..9] value expected(10 * it + 5) / 100
}
intrinsic safety() -> bool { adapter "safety" emits enum("Y", "N") value it == "Y" }
intrinsic judge() -> str with (max_tokens: 5) {
  adapter "hallucination" emits str may invoke [certainty, look] { on certainty => INNER on look => INNER }
}
tool look(n: int[0..9]) -> str = python "kb:look" with (pure: true, invoke: "<|reserved_0|>")
tool note(n: int[0..9]) -> int = python "kb:note" with (invoke: "<|reserved_1|>")
flow main(q: str) -> list[str] {
  let reply = generate(max_tokens: 16) on user(q) may invoke [CALLEES] budget BUDGET { CLAUSES }
  let said = for one in reply.invocations limit 9 {
    keep "{one.name} {one.depth} {one.at} {one.at_token} {one.action} {one.value}"
  }
  return said + [reply.text]
}
"""
KB = "def look(n): return f'<|safety|> It is {n}.'\ndef note(n): return n + 1\n"
TOOLS = {"look": lambda n: f"<|safety|> It is {n}.", "note": lambda n: n + 1}
INVOKED = {
    "certainty": "<|uncertainty|>",
    "safety": "<|safety|>",
    "judge": "<|hallucination|>",
    "look": "<|reserved_0|>",
    "note": "<|reserved_1|>",
}


@dataclass(frozen=True)
class Calls:
    """A program of calls. script: tokens of the model's own, and whom it calls then. within: of the judge."""

    script: tuple[tuple[int, str], ...]
    within: tuple[tuple[int, str], ...]
    backs: Mapping[str, str]
    inner: str
    budget: int
    arguments: tuple[int, ...]

    @property
    def callees(self) -> list[str]:
        return [name for name in INVOKED if name in self.backs]

    def flow(self) -> str:
        clauses = " ".join(f"on {name} => {back}" for name, back in self.backs.items())
        text = FLOW.replace("INNER", self.inner).replace("BUDGET", f"{self.budget}").replace("CLAUSES", clauses)
        return text.replace("CALLEES", ", ".join(self.callees))

    def parts(self) -> list[Part]:
        return [part for own, name in self.script for part in (own, INVOKED[name])]

    def inside(self) -> list[Part]:
        return [part for own, name in self.within for part in (own, INVOKED[name])]


@st.composite
def programs(draw: st.DrawFn) -> Calls:
    names = draw(st.lists(st.sampled_from(list(INVOKED)), min_size=2, unique=True))
    back = st.sampled_from(["keep", "keep", "drop", "stop"])
    return Calls(
        tuple(draw(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(names)), min_size=1, max_size=4))),
        tuple(draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["certainty", "look"])), max_size=2))),
        {name: draw(back) for name in names},
        draw(st.sampled_from(["keep", "drop"])),
        draw(st.sampled_from([2, 9, 9])),
        tuple(draw(st.lists(st.integers(0, 9), min_size=9, max_size=9))),
    )


class FullOracle(Oracle):
    """With all of the bundled model's vocabulary."""

    @torch.no_grad()
    def row(self, sequence: Sequence[tuple[int, str | None]]) -> torch.Tensor:
        """The logits behind a sequence."""
        self.labels = [adapter for _, adapter in sequence]
        ids = torch.tensor([[token for token, _ in sequence]])
        logits: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits[0, -1]
        return logits


@cache
def oracle(base: Path, adapters: tuple[tuple[str, Path], ...]) -> FullOracle:
    return FullOracle(base, dict(adapters))


class BudgetSpent(Exception):
    """One call more than there may be."""


@dataclass
class Enactment:
    """What must come of a program, token by token."""

    program: Calls
    setup: Setup
    barred: Sequence[int]
    calls: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        contracts = self.setup.contracts
        self.digests = {name: contracts[name].adapter.digest for name in ("certainty", "safety", "judge")}
        folders = tuple((self.digests[name], contracts[name].adapter.folder) for name in self.digests)
        self.oracle = oracle(self.setup.model.folder, folders)
        self.tokenizer = self.setup.prompter.tokenizer
        self.arguments = list(self.program.arguments)
        self.made = 0
        self.noted: dict[int, str] = {}

    def control(self, text: str) -> list[int]:
        return list(self.tokenizer.encode_control(text))

    def enact(self, question: str) -> list[str]:
        prompt = [
            *self.control("<|user|>"),
            *self.tokenizer.encode_data(question),
            *self.control("<|end|><|assistant|>"),
        ]
        reply = self.write([(token, None) for token in prompt], places(self.program.parts(), self.tokenizer), 16, 1)
        return [*(self.noted[number] for number in sorted(self.noted)), self.tokenizer.decode(tuple(reply))]

    def write(self, before: list[tuple[int, str | None]], script: dict[int, int], most: int, depth: int) -> list[int]:
        """A reply on a sequence, with all calls in it."""
        adapter = before[-1][1]
        names = self.program.callees if depth == 1 else ["certainty", "look"]
        invoked = {self.control(INVOKED[name])[0]: name for name in names}
        end, reply = self.control("<|end|>")[0], list[int]()
        for place in range(most):
            row = self.oracle.row(before)
            row = row.index_fill(0, torch.tensor(self.barred), float("-inf"))
            token = script.get(place, int(row.argmax()))
            if token == end:
                break
            if token not in invoked:
                reply.append(token)
                before.append((token, adapter))
                continue
            if self.call(invoked[token], token, before, reply, depth) == "stop":
                break
        return reply

    def call(self, name: str, token: int, before: list[tuple[int, str | None]], reply: list[int], depth: int) -> str:
        if self.made == self.program.budget:
            raise BudgetSpent
        number, adapter = self.made, before[-1][1]
        self.made += 1
        back = self.program.backs[name] if depth == 1 else self.program.inner
        answer, value = self.answer(name, token, before, depth)
        at = len(self.tokenizer.decode(tuple(reply)))
        self.noted[number] = f"{name} {depth} {at} {len(reply)} {back} {value}"
        if back == "keep":
            before += [(one, adapter) for one in (token, *answer)]
            if name in TOOLS:
                turn = [*self.control("<|end|><|tool_result|>"), *self.tokenizer.encode_data(str(value))]
                before += [(one, adapter) for one in (*turn, *self.control("<|end|><|assistant|>"))]
        return back

    def answer(self, name: str, token: int, before: list[tuple[int, str | None]], depth: int) -> tuple[list[int], Any]:
        if name in TOOLS:
            number = self.arguments.pop(0)
            return self.control(f'{{"n": {number}}}'), TOOLS[name](number)
        adapted = [*before, (token, self.digests[name])]
        if name == "judge":
            within = places(self.program.inside(), self.tokenizer)
            written = self.write(adapted, within, 5, depth + 1)
            return written, self.tokenizer.decode(tuple(written))
        texts = [*"0123456789"] if name == "certainty" else ["Y", "N"]
        tokens = [self.tokenizer.encode_data(text)[0] for text in texts]
        weights = self.oracle.row(adapted)[tokens].softmax(-1)
        best = int(weights.argmax())
        sure = sum(float(weight) * (10 * digit + 5) for digit, weight in enumerate(weights)) / 100
        return [tokens[best]], sure if name == "certainty" else str(best == 0).lower()


def places(parts: Sequence[Part], tokenizer: Any) -> dict[int, int]:
    """Which token comes where."""
    found: dict[int, int] = {}
    place = 0
    for part in parts:
        if isinstance(part, str):
            found[place] = tokenizer.encode_control(part)[0]
        place += part if isinstance(part, int) else 1
    return found


def same(one: str, other: str) -> bool:
    """Equal but for the last digits of a value."""
    head, value = one.rsplit(" ", 1) if " " in one else (one, "")
    other_head, other_value = other.rsplit(" ", 1) if " " in other else (other, "")
    try:
        return head == other_head and float(value) == pytest.approx(float(other_value), abs=1e-4)
    except ValueError:
        return one == other


WITHIN = Calls(
    ((1, "judge"), (1, "look")), ((1, "look"), (1, "certainty")), {"judge": "keep", "look": "keep"}, "keep", 9, (7, 8)
)
"""A tool that the judge calls, and what goes on behind its result."""


@example(calls=WITHIN, question="Who is the mayor of Tarnok?")
@example(calls=replace(WITHIN, inner="drop"), question="Where?")
@given(calls=programs(), question=st.sampled_from(["Who is the mayor of Tarnok?", "<|safety|>", "Where?"]))
@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_programs_of_calls(calls: Calls, question: str) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "kb.py").write_text(KB)
        path = Path(folder) / "main.flow"
        path.write_text(calls.flow())
        arguments = [f'{{"n": {number}}}' for number in calls.arguments]
        module = forced(path, *calls.parts(), within=calls.inside(), arguments=arguments)
        got = list(ran(module, question))
        control = module.compilation.setup.prompter.tokenizer
        barred = [control.control_token(text) for text in control.control if text != "<|end|>"]
        enactment = Enactment(calls, module.compilation.setup, [token for token in barred if token is not None])
        try:
            expected = enactment.enact(question)
        except BudgetSpent:
            expected = ["the budget is spent"]
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert same(one, other), (got, expected)
        assert engine_of(module).engine.inspect().held == 0


def ran(module: Module, question: str) -> Iterator[str]:
    """What the flow gives, whose rows are all predicted; or why it gives nothing."""
    try:
        result = module.main(q=question)
    except RunFailed as error:
        yield "the budget is spent" if "budget is spent" in error.message else error.message
        return
    assert result.trace.kept_promise
    yield from result.value
