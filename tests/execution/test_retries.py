"""`retry`: what a model writes is asked for again with another seed, where it is none of its type's values."""

from __future__ import annotations

from pathlib import Path

import pytest

from alora_flow import BadInput, RunFailed
from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.execution.events import CallSubmitted
from alora_flow.module import Module, Result
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup
from alora_runtime.requests import Finish, Request

FLOW = """
model base = "mini"
record Fact {{ text: str, year: int[1400..1899] }}
intrinsic facts() -> Fact with (temperature: 0.5, retry: 1, max_tokens: 40) {{ adapter "safety" emits Fact }}
flow main(q: str) -> int {clauses} {{
  let fact = generate({settings}) as Fact on user(q) {handled}
  return fact.year
}}
flow asked(q: str) -> int {{
  return (facts() on user(q)).year
}}
"""


class Faltering(Echo):
    """Writes nothing of use to its first typed calls."""

    faults = 0

    def __init__(self, setup: Setup) -> None:
        like = open_echo(setup)
        super().__init__(like._tokenizer, like._stop)
        self.left, self.sent = self.faults, list[Request]()

    def submit(self, call: ModelCall) -> int:
        self.sent.append(call.request)
        return super().submit(call)

    def _written(self, request: Request) -> tuple[tuple[int, ...], str, Finish]:
        if request.constraint is None or not self.left:
            return super()._written(request)
        self.left -= 1
        return self._tokenizer.encode_data("{"), "{", "length"


def faltering(
    folder: Path, faults: int, settings: str, handled: str = "", clauses: str = "", seed: int | None = None
) -> Module:
    path = folder / "main.flow"
    path.write_text(FLOW.format(settings=settings, handled=handled, clauses=clauses))
    made = type("Made", (Faltering,), {"faults": faults})
    return Module(Compilation(path), made, seed)


def seeds(result: Result) -> list[int | None]:
    return [event.seed for event in result.trace.events if isinstance(event, CallSubmitted)]


def test_a_retry_draws_other_numbers_and_finds_its_prompt(tmp_path: Path) -> None:
    result = faltering(tmp_path, 2, "temperature: 0.7, retry: 2").main(q="x")
    assert result.value == 1400
    first, *again = result.trace["fact"].calls
    assert [call.id for call in again] == ["fact#2", "fact#3"]
    assert first.actual is not None
    assert all(call.actual is not None and call.actual.prefilled == 0 for call in again)
    assert len(set(seeds(result))) == 3
    assert result.trace.kept_promise
    assert result.trace["fact"].status == "done"


def test_runs_of_one_seed_draw_the_same_in_every_try(tmp_path: Path) -> None:
    module = faltering(tmp_path, 2, "temperature: 0.7, retry: 2", seed=7)
    other = faltering(tmp_path, 2, "temperature: 0.7, retry: 2", seed=7)
    assert seeds(module.main(q="x")) == seeds(other.main(q="x"))


def test_a_seed_of_the_flow_is_that_of_the_first_try(tmp_path: Path) -> None:
    first, second = (
        seeds(faltering(tmp_path, 1, f"temperature: 0.7, retry: 1, seed: {n}").main(q="x")) for n in (5, 6)
    )
    assert (first[0], second[0]) == (5, 6)
    assert len({*first, *second}) == 4


def test_after_the_last_try_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="tokens were not enough for a Fact") as caught:
        faltering(tmp_path, 2, "temperature: 0.7, retry: 1").main(q="x")
    assert len(caught.value.trace["fact"].calls) == 2


def test_after_the_last_try_the_else_is_taken(tmp_path: Path) -> None:
    module = faltering(tmp_path, 2, "temperature: 0.7, retry: 1", 'else { Fact(text: "", year: 1500) }')
    result = module.main(q="x")
    assert (result.value, len(result.trace["fact"].calls)) == (1500, 2)


def test_an_intrinsic_is_asked_again(tmp_path: Path) -> None:
    result = faltering(tmp_path, 1, "").asked(q="x")
    assert (result.value, len(result.trace.calls)) == (1400, 2)


def test_the_worst_case_counts_every_try(tmp_path: Path) -> None:
    settings = "max_tokens: 40, temperature: 0.7, retry: 2"
    with pytest.raises(BadInput, match="120 generated in its worst case"):
        faltering(tmp_path, 0, settings, clauses="budget { generated <= 119 }").main(q="x")
    with pytest.raises(BadInput, match="3 calls in its worst case"):
        faltering(tmp_path, 0, settings, clauses="budget { calls <= 2 }").main(q="x")
    assert faltering(tmp_path, 2, settings, clauses="budget { generated <= 120, calls <= 3 }").main(q="x").value == 1400


def test_all_settings_of_an_intrinsic_and_a_generation_reach_the_request(tmp_path: Path) -> None:
    path = tmp_path / "settings.flow"
    given = 'max_tokens: 7, temperature: 0.5, top_p: 0.9, top_k: 3, min_p: 0.1, seed: 11, stop: ["a", "b"], retry: 1'
    path.write_text(
        f"""
        model base = "mini"
        const END = "a"
        intrinsic one() -> str with ({given}) {{ adapter "safety" emits str }}
        intrinsic other() -> str with (stop: END, seed: 5 + 6) {{ adapter "safety" emits str }}
        flow main(q: str) -> str {{
          let a = generate({given}) on user(q)
          let b = one() on user(q)
          let c = other() on user(q)
          return "{{a.text}}{{b}}{{c}}"
        }}
        """
    )
    made = Module(Compilation(path), type("Made", (Faltering,), {}))
    made.main(q="x")
    deferred = made.backend
    assert isinstance(deferred, Faltering)
    generated, one, other = deferred.sent
    for sent in (generated, one):
        assert (sent.max_tokens, sent.temperature, sent.top_p, sent.top_k) == (7, 0.5, 0.9, 3)
        assert (sent.min_p, sent.seed, sent.stop_strings) == (0.1, 11, ("a", "b"))
    assert (other.stop_strings, other.seed) == (("a",), 11)
