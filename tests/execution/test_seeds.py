"""Where random numbers come from: the run's seed and a call's place in the run."""

from __future__ import annotations

from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import BadUsage
from alora_flow.execution.events import CallSubmitted
from alora_flow.execution.requests import seed_at
from tests.command import warm

FLOW = """
model base = "mini"
flow drawn(q: str = "Tarnok") -> list[str] {
  let texts = for i in range(4) limit 4 { let r = generate(max_tokens: 6, temperature: 1.0) on user(q)  keep r.text }
  return texts
}
flow greedy(q: str = "Tarnok") -> str { let r = generate(max_tokens: 6) on user(q)  return r.text }
flow own(q: str = "Tarnok") -> list[str] {
  let texts = for i in range(2) limit 2 {
    let r = generate(max_tokens: 6, temperature: 1.0, seed: 7) on user(q)  keep r.text
  }
  return texts
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "seeds.flow").write_text(FLOW)
    return tmp_path / "seeds.flow"


def test_calls_of_one_run_draw_numbers_of_their_own(file: Path) -> None:
    module = alora_flow.load(file, seed=3)
    first, second = module.drawn(), module.drawn()
    assert len(set(first.value)) > 1
    assert second.value == first.value
    assert alora_flow.load(file, seed=4).drawn().value != first.value


def test_without_a_seed_every_run_draws_one_and_tells_it(file: Path) -> None:
    module = alora_flow.load(file)
    first, second = module.drawn(), module.drawn()
    assert first.trace.seed != second.trace.seed
    assert alora_flow.load(file, seed=first.trace.seed).drawn().value == first.value


def test_greedy_answers_draw_nothing_and_a_seed_of_the_flow_stays(file: Path) -> None:
    module = alora_flow.load(file)
    assert module.greedy().value == module.greedy().value
    assert not module.greedy().trace.sampled
    own = module.own()
    assert len(set(own.value)) == 1
    assert [event.seed for event in own.trace.events if isinstance(event, CallSubmitted)] == [7, 7]


def test_seeds_are_of_one_place_of_one_run() -> None:
    seeds = {seed_at(seed, place) for seed in range(30) for place in ("a#0", "a#1", "a[0].r#0", "a[1].r#0")}
    assert len(seeds) == 120
    assert all(0 <= seed < 1 << 48 for seed in seeds)


def test_the_command_tells_the_seed_and_takes_it(file: Path) -> None:
    shown = warm("run", str(file), "drawn")
    seed = shown.stderr.split("seed ")[1].split()[0]
    assert warm("run", str(file), "drawn", "--seed", seed).stdout == shown.stdout
    assert "seed" not in warm("run", str(file), "greedy").stderr
    assert warm("run", str(file), "drawn", "--seed", "x").code == 2


@pytest.mark.parametrize("seed", [1.5, "x", True, 1 << 200, -(10**5000)], ids=["real", "text", "bool", "large", "huge"])
def test_a_seed_that_is_none_is_bad_usage(file: Path, seed: object) -> None:
    with pytest.raises(BadUsage, match="seed must be"):
        alora_flow.load(file, seed=seed)  # type: ignore[arg-type]
