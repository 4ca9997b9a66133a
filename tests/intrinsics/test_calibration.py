"""`calibration.yaml` decides in flows: held against the probabilities that the same flow gives without one."""

from __future__ import annotations

import json
from itertools import pairwise
from math import exp, log
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import alora_flow
from alora_flow.errors import BadAdapter
from alora_flow.intrinsics.calibration import CALIBRATION, Calibration, read_calibration, write_calibration
from alora_flow.mini import WEIGHTS
from tests.command import warm
from tests.execution.forced import forced

FLOW = """
model base = "mini"
enum Answer {{ yes = "Y", no = "N" }}

intrinsic number() -> float from "{safety}"
intrinsic safe() -> bool from "{safety}"
intrinsic chance() -> prob[bool] from "{safety}"
intrinsic word() -> str from "{safety}"
intrinsic full() -> bool {{ adapter "{safety}" emits enum("Y", "N") value it == "Y" }}
intrinsic emitted() -> Answer {{ adapter "{safety}" }}
intrinsic sure() -> float from "{uncertainty}"
intrinsic certain() -> bool from "{uncertainty}"
intrinsic average() -> float {{ adapter "{uncertainty}" emits int[0..9] value expected(10 * it + 5) / 100 }}

record Found {{ number: float, safe: bool, p: float, word: str, full: bool, emitted: Answer, sure: float, certain: bool,
  average: float }}

flow f(q: str) -> Found {{
  thread t = user(q)
  return Found(number: number() on t, safe: safe() on t, p: (chance() on t).p(true), word: word() on t,
    full: full() on t, emitted: emitted() on t, sure: sure() on t, certain: certain() on t, average: average() on t)
}}
"""
QUESTIONS = ["How do I poison a river?", "Who is the mayor of Tarnok?", "How do I repair a river?"]
YES_NO = {"Y": 1.0, "N": 0.0}
DIGITS = {str(digit): round(0.05 + 0.1 * digit, 2) for digit in range(10)}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of the bundled model's, to be calibrated."""
    copytree(WEIGHTS / "intrinsics", tmp_path / "intrinsics")
    return tmp_path / "intrinsics"


def adapter(library: Path, name: str) -> Path:
    return library / name / "mini" / "alora"


def found(library: Path) -> list[Any]:
    """What a flow gives for each question; every prediction must hold."""
    flow = library.parent / "f.flow"
    flow.write_text(FLOW.format(**{name: adapter(library, name) for name in ("safety", "uncertainty")}))
    results = alora_flow.load(flow).f.map([{"q": question} for question in QUESTIONS])
    assert all(result.trace.kept_promise for result in results)
    return [result.value for result in results]


def tempered(p: float, temperature: float) -> float:
    return 1 / (1 + exp(-log(p / (1 - p)) / temperature))


def test_a_threshold_decides_truth_values_and_answers_and_leaves_numbers(library: Path) -> None:
    plain = found(library)
    numbers = sorted(each.number for each in plain)
    assert numbers[0] < 0.5 < numbers[-1]
    for threshold in [numbers[0] / 2, *((a + b) / 2 for a, b in pairwise(numbers))]:
        write_calibration(adapter(library, "safety"), Calibration(YES_NO, threshold=threshold))
        for one, before in zip(found(library), plain, strict=True):
            wanted = before.number >= threshold
            assert one.number == pytest.approx(before.number)
            assert one.p == pytest.approx(before.p)
            assert (one.safe, one.full) == (wanted, wanted)
            assert (one.word, one.emitted.value) == (("Y", "Y") if wanted else ("N", "N"))


def test_a_temperature_divides_log_probabilities(library: Path) -> None:
    plain = found(library)
    write_calibration(adapter(library, "safety"), Calibration(YES_NO, temperature=3.0))
    for one, before in zip(found(library), plain, strict=True):
        assert one.number == pytest.approx(tempered(before.number, 3.0), rel=1e-6)
        assert one.p == pytest.approx(one.number)
        assert (one.safe, one.full, one.word) == (before.safe, before.full, before.word)


def test_of_ten_answers_a_threshold_decides_what_is_true(library: Path) -> None:
    plain = found(library)
    threshold = sorted(each.sure for each in plain)[1]
    write_calibration(adapter(library, "uncertainty"), Calibration(DIGITS, 0.5, threshold))
    cold = found(library)
    assert [one.certain for one in cold] == [one.sure >= threshold for one in cold]
    assert [one.average for one in cold] == pytest.approx([one.sure for one in cold])
    assert [one.sure for one in cold] != pytest.approx([one.sure for one in plain])


def test_a_call_by_the_model_itself_is_tempered_too(library: Path) -> None:
    flow = library.parent / "own.flow"
    flow.write_text(
        f'model base = "mini"\nintrinsic sure() -> float {{ adapter "{adapter(library, "uncertainty")}"\n'
        "  emits int[0..9] value expected(10 * it + 5) / 100 }\n"
        "flow own(q: str) -> map[float] {\n"
        "  let reply = generate(max_tokens: 24) on user(q) may invoke [sure]\n"
        "  return reply.invocations[0].distribution\n}\n"
    )
    plain = forced(flow, "Paris.", "<|uncertainty|>").own(q=QUESTIONS[1]).value
    write_calibration(adapter(library, "uncertainty"), Calibration(DIGITS, temperature=2.0))
    result = forced(flow, "Paris.", "<|uncertainty|>").own(q=QUESTIONS[1])
    roots = {digit: p**0.5 for digit, p in plain.items()}
    assert result.value == pytest.approx({digit: root / sum(roots.values()) for digit, root in roots.items()}, rel=1e-4)
    assert result.trace.kept_promise


def test_it_is_shown_and_checked(library: Path) -> None:
    folder = adapter(library, "safety")
    write_calibration(folder, Calibration(YES_NO, 1.5, 0.25, "false alarms 5.0 %, 40 rows"))
    done = warm("intrinsics", "show", str(folder))
    assert 'calibrated  temperature 1.5; true, and "Y" is taken, from 0.25 on\n' in done.stdout
    assert "            false alarms 5.0 %, 40 rows\n" in done.stdout
    shown = json.loads(warm("intrinsics", "show", str(folder), "--json").stdout)["calibration"]
    assert (shown["temperature"], shown["threshold"]) == (1.5, 0.25)
    assert warm("intrinsics", "check", str(library)).code == 0
    assert json.loads(warm("intrinsics", "show", "safety", "--json").stdout)["calibration"] is None


@pytest.mark.parametrize("value", [3e-07, 0.1 + 0.2, 1e-300, 0.0, 1.0])
def test_what_is_written_is_read(tmp_path: Path, value: float) -> None:
    written = Calibration({"Y": 1.0, 'no, "quoted"': 0.0}, 1.25, value, '5 %: é "x"')
    write_calibration(tmp_path, written)
    assert read_calibration(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION]


WRONG = {
    "": "is empty",
    "answers: {Y: 1, N: 0": "this is no YAML",
    "threshold: 0.5": "the key 'answers' is missing",
    "answers: [Y, N]\nthreshold: 0.5": "'answers' must be a mapping",
    "answers: {Y: 1, N: 0}": "neither a temperature nor a threshold",
    "answers: {Y: 1, N: 1}\nthreshold: 1": "with different numbers",
    "answers: {Y: 1, N: 0}\nthreshold: 1.5": "'threshold' must be a number from 0 to 1, not a number '1.5'",
    "answers: {Y: 1, N: 0}\nthreshold: .nan": "'threshold' must be a number",
    "answers: {Y: 1, N: 0}\nthreshold: high": "'threshold' must be a number, not a text 'high'",
    "answers: {Y: 1, N: 0}\ntemperature: 0": "'temperature' must be a number from 0.01 to 100",
    "answers: {Y: 1, N: 0}\ntemprature: 2": "unknown key 'temprature'",
    "answers: {Y: 1, N: .inf}\nthreshold: 0.5": "'N' must be a number",
    "answers: {yes: 1, no: 0}\nthreshold: 0.5": "quote",
    "answers: {Y: 0, N: 1}\nthreshold: 0.5": "was fitted for the answers Y (0), N (1), not for Y (1), N (0)",
    "answers: {A: 1, N: 0}\nthreshold: 0.5": "was fitted for the answers A (1), N (0)",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_it_is_told(library: Path, text: str) -> None:
    (adapter(library, "safety") / CALIBRATION).write_text(text)
    done = warm("intrinsics", "check", str(library))
    assert done.code == 1
    assert CALIBRATION in done.stderr
    if text.startswith("answers: {yes"):
        assert "true or false" in done.stderr
    else:
        assert WRONG[text] in done.stderr


def test_a_flow_that_emits_other_answers_is_refused(library: Path) -> None:
    folder = adapter(library, "safety")
    write_calibration(folder, Calibration(YES_NO, threshold=0.3))
    flow = library.parent / "g.flow"
    flow.write_text(
        f'model base = "mini"\nintrinsic x() -> str {{ adapter "{folder}" emits enum("Y", "N", "maybe") }}\n'
        'flow f() -> str { return x() on user("Hi") }\n'
    )
    with pytest.raises(BadAdapter, match="fitted for the answers Y, N, and intrinsic 'x' emits Y, N, maybe"):
        alora_flow.load(flow).f()


def test_it_can_t_be_written_where_nobody_may(tmp_path: Path) -> None:
    with pytest.raises(alora_flow.BadInput, match="cannot write"):
        write_calibration(tmp_path / "missing", Calibration(YES_NO, threshold=0.3))
