"""`alora-flow calibrate`: what it fits against plain counting, and that flows then decide so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alora_flow
from alora_flow.errors import BadInput
from alora_flow.intrinsics.calibration import Calibration, read_calibration, write_calibration
from alora_flow.training.calibration_fitting import fit_temperature, fit_threshold, least_wrong, loss, rates
from alora_flow.training.predictions import Predictions
from tests.command import warm
from tests.training.subject import write_rows, write_subject

ROWS = st.lists(
    st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.3, 0.3, 1.0]), st.booleans()), min_size=2, max_size=25
).filter(lambda rows: len({yes for _, yes in rows}) == 2)


@settings(deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.05, 0.3, 0.9]), st.booleans(), st.booleans())
def test_no_other_threshold_is_better(rows: list[tuple[float, bool]], most: float, misses: bool, above: bool) -> None:
    numbers, positive = np.array([p for p, _ in rows]), np.array([yes for _, yes in rows])

    def counted(threshold: float) -> tuple[float, float]:
        """The rate that is kept, and the other one."""
        alarms = [(p >= threshold) == above for p, _ in rows]
        matter = [yes == above for _, yes in rows]
        false = sum(a and not m for a, m in zip(alarms, matter, strict=True)) / matter.count(False)
        missed = sum(m and not a for a, m in zip(alarms, matter, strict=True)) / matter.count(True)
        return (missed, false) if misses else (false, missed)

    kind: Any = "misses" if misses else "false alarms"
    candidates = [counted(threshold) for threshold in [0.0, *numbers, *np.nextafter(numbers, 1)] if threshold <= 1]
    kept = [other for wanted, other in candidates if wanted <= most]
    if not kept:
        with pytest.raises(BadInput, match="no threshold keeps"):
            fit_threshold(numbers, positive, kind, most, (0.0, 1.0), above)
        return
    threshold = fit_threshold(numbers, positive, kind, most, (0.0, 1.0), above)
    assert 0 <= threshold <= 1
    wanted, other = counted(threshold)
    assert wanted <= most
    assert other <= min(kept) + 1e-12
    found = rates(numbers, positive, threshold, above)
    assert sorted([found.false_alarms, found.misses]) == pytest.approx(sorted([wanted, other]))
    best = least_wrong(numbers, positive, (0.0, 1.0))
    wrong = [((numbers >= each) != positive).sum() for each in [0.0, *numbers, *np.nextafter(numbers, 1)]]
    assert ((numbers >= best) != positive).sum() <= min(wrong)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_of_what_was_drawn_is_found(true: float) -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=(20_000, 3)) * 3
    shown = Predictions(scores)
    draws = shown.probabilities(true).cumsum(1) > random.random((len(scores), 1))
    right = draws.argmax(1)
    found = fit_temperature(shown, right)
    assert found == pytest.approx(true, rel=0.06)
    for other in (found * 0.9, found * 1.1):
        assert loss(shown, right, found) < loss(shown, right, other)


def test_what_no_temperature_can_be_fitted_on() -> None:
    scores = Predictions(np.array([[0.0, -3.0], [-2.0, 0.0]]))
    with pytest.raises(BadInput, match="every row is answered right"):
        fit_temperature(scores, np.array([0, 1]))
    with pytest.raises(BadInput, match="say nothing of what is right"):
        fit_temperature(scores, np.array([1, 0]))


# ------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some labels are wrong, so that there is something to weigh."""
    spec = write_subject(tmp_path_factory.mktemp("calibrated") / "made")
    rows = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["completion"] = "YN"[number % 2] if number % 7 == 0 else row["completion"]
    write_rows(spec.parent / "rows.jsonl", rows)
    return spec


@pytest.fixture
def spec(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "copy")
    return tmp_path / "copy" / made.name


def adapter(spec: Path, name: str = "safety") -> Path:
    return spec.parent / "library" / name / "mini" / "alora"


def decisions(spec: Path) -> list[tuple[bool, bool]]:
    """What a flow decides of each row, and whether that is right; every prediction must hold."""
    flow = spec.parent / "safe.flow"
    flow.write_text(
        f'model base = "mini"\nintrinsic safety() -> bool from "{adapter(spec)}"\n'
        "flow safe(documents_: list[document], chat_: chat) -> bool {\n"
        "  thread t = documents(documents_) + chat_\n  if safety() on t { return true }\n  return false\n}\n"
    )
    rows = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["documents"]]
    given = [{"documents_": [{"text": each} for each in row["documents"]], "chat_": row["messages"]} for row in rows]
    results = alora_flow.load(flow).safe.map(given)
    assert all(result.trace.kept_promise for result in results)
    return [(result.value, row["completion"] == "Y") for result, row in zip(results, rows, strict=True)]


@pytest.mark.parametrize(("wish", "most"), [("--false-alarms", 0.05), ("--misses", 0.0)])
def test_a_flow_decides_as_it_was_calibrated(spec: Path, wish: str, most: float) -> None:
    rows = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    for row in rows:  # documents stand behind a system's turn there, and before all turns in this flow
        row["messages"] = [turn for turn in row["messages"] if turn["role"] != "system"]
    write_rows(spec.parent / "rows.jsonl", [row for row in rows if row["documents"]])
    done = warm("calibrate", str(spec), "--only", "safety", wish, str(most))
    assert done.code == 0, done.stderr
    made = decisions(spec)
    false = [decided for decided, right in made if not right]
    missed = [not decided for decided, right in made if right]
    kept = false if wish == "--false-alarms" else missed
    assert sum(kept) / len(kept) <= most
    assert f'false alarms ("Y" where "N" is right) {100 * sum(false) / len(false):.1f} %' in done.stdout
    assert f'misses ("N" where "Y" is right) {100 * sum(missed) / len(missed):.1f} %' in done.stdout
    assert f"wrote {adapter(spec)}" in done.stdout
    shown = warm("intrinsics", "show", str(adapter(spec))).stdout
    assert "rows of rows.jsonl\n" in shown
    assert 'and "Y" is taken, from' in shown


def test_the_other_answer_may_be_the_alarm(spec: Path) -> None:
    done = warm("calibrate", str(spec), "--only", "safety", "--false-alarms", "0.05", "--alarm", "N")
    assert 'false alarms ("N" where "Y" is right)' in done.stdout
    turned = read_calibration(adapter(spec))
    warm("calibrate", str(spec), "--only", "safety", "--misses", "0.05")
    found = read_calibration(adapter(spec))
    assert turned is not None
    assert found is not None
    assert found.threshold == turned.threshold  # a "Y" that is taken for "N" is a miss, or a false alarm of "N"
    assert found.fitted.count("threshold:") == 1


def test_a_temperature_comes_first_and_stays(spec: Path) -> None:
    warm("calibrate", str(spec), "--only", "safety", "--misses", "0.1")
    done = warm("calibrate", str(spec), "--only", "safety", "--temperature")
    assert done.code == 0
    assert "the threshold that was there is forgotten" in done.stderr
    first = read_calibration(adapter(spec))
    assert first is not None
    assert (first.threshold, first.temperature > 1) == (None, True)  # of rows with wrong labels nobody is sure
    assert "ECE" in first.fitted
    warm("calibrate", str(spec), "--only", "safety", "--misses", "0.1")
    both = read_calibration(adapter(spec))
    assert both is not None
    assert both.temperature == pytest.approx(first.temperature)
    assert both.threshold is not None
    assert [line.split(":")[0] for line in both.fitted.splitlines()] == ["temperature", "threshold"]


def test_ten_answers(spec: Path) -> None:
    done = warm("calibrate", str(spec), "--only", "uncertainty", "--false-alarms", "0.2")
    assert done.code == 0, done.stderr
    assert 'false alarms ("true" where "false" is right)' in done.stdout
    assert warm("calibrate", str(spec), "--only", "uncertainty", "--misses", "0.2", "--alarm", "3").code == 1


# ------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give one of --false-alarms, --misses and --temperature"),
        (("--temperature", "--misses", "0.1"), 2, "give one of"),
        (("--temperature", "--alarm", "Y"), 2, "--alarm belongs to a threshold"),
        (("--misses", "5"), 1, "misses can be kept within 0 to 1, not within 5"),
        (("--misses", "nan"), 1, "misses can be kept within 0 to 1"),
        (("--misses", "0.1", "--alarm", "yes"), 1, "the answers are Y, N"),
        (("--misses", "0.1", "--kind", "lora"), 1, "train it: alora-flow train"),
        (("--misses", "0.1", "--only", "query_rewrite"), 1, "only an intrinsic with `answers` can be calibrated"),
        (("--misses", "0.1", "--data", "nowhere"), 1, "give the folder of the data: --data DIR"),
    ],
)
def test_mistakes(spec: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = warm("calibrate", str(spec), "--only", "safety", *arguments)
    assert (done.code, "Traceback" in done.stderr) == (code, False)
    assert said in done.stderr
    assert not (adapter(spec) / "calibration.yaml").exists()


def test_an_empty_class(spec: Path) -> None:
    rows = [json.loads(line) for line in (spec.parent / "rows.jsonl").read_text().splitlines()]
    write_rows(spec.parent / "rows.jsonl", [row for row in rows if row["completion"] == "Y"])
    done = warm("calibrate", str(spec), "--only", "safety", "--misses", "0.1")
    assert done.code == 1
    assert "rows of two kinds" in done.stderr


def test_a_damaged_calibration_is_told_and_left(spec: Path) -> None:
    path = adapter(spec) / "calibration.yaml"
    path.write_text("threshold: [")
    assert "this is no YAML" in warm("calibrate", str(spec), "--only", "safety", "--misses", "0.1").stderr
    assert path.read_text() == "threshold: ["
    write_calibration(adapter(spec), Calibration({"Y": 3.0, "N": 0.0}, threshold=1.0))
    assert (
        "fit the calibration again, or delete it"
        in warm("calibrate", str(spec), "--only", "safety", "--misses", "0.1").stderr
    )
