"""Calibrating an adapter of a library: fitted on labelled rows, and written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alora_flow.errors import BadInput
from alora_flow.intrinsics.calibration import USUAL_THRESHOLD, Calibration, write_calibration
from alora_flow.training.calibration_fitting import Rate, Rates, fit_temperature, fit_threshold, loss, rates
from alora_flow.training.evaluating import Evaluator, Kind, MeasuredAdapter, Split
from alora_flow.training.measuring import chosen
from alora_flow.training.metrics import calibration_error, once
from alora_flow.training.predictions import Predictions, Progress, quiet
from alora_flow.training.spec import Spec


@dataclass(frozen=True)
class Calibrated:
    """What was written where. lines: what was reached, for people. forgot: was there a threshold, fitted for another
    temperature?"""

    calibration: Calibration
    path: Path
    lines: Sequence[str]
    forgot: bool = False


def calibrate_threshold(
    spec: Spec,
    name: str,
    rate: Rate,
    most: float,
    *,
    alarm: str | None = None,
    split: Split = "validation",
    kind: Kind | None = None,
    progress: Progress = quiet,
) -> Calibrated:
    """Keep the rate of false alarms, or of misses, within `most` on the rows of a split.

    alarm: the answer that is one; by default that with the larger number, which is true. A temperature that is there
    stays. Raises BadInput for intrinsics, rows and wishes of which nothing can come.
    """
    if not 0 <= most < 1:
        raise BadInput(f"{rate} can be kept within 0 to 1, not within {most:g}", "0.05 is one in twenty")
    subject, predictions = _asked(spec, name, split, kind, progress)
    answers, before = subject.spec.answers, subject.calibration or Calibration(subject.spec.answers)
    above = _alarm_above(before, alarm)
    found = chosen(predictions, subject.rows, answers, before)
    if found.positive is None or found.numbers is None:
        raise BadInput(
            f"the {split} rows of '{name}' do not stand for two values: a threshold parts rows of two kinds",
            "give rows that are right or wrong, by their labels or by an `outcome` of 0 or 1",
        )
    span = (min(answers.values()), max(answers.values()))
    threshold = fit_threshold(found.numbers, found.positive, rate, most, span, above)
    old = USUAL_THRESHOLD if before.threshold is None else before.threshold
    reached = rates(found.numbers, found.positive, threshold, above)
    lines = _lines(before, above, reached, rates(found.numbers, found.positive, old, above))
    told = f"threshold: {rate} at most {100 * most:.1f} %; {'; '.join(lines)}; {_rows(subject)}"
    made = replace(before, threshold=threshold, fitted=_noted(before, told, "threshold"))
    return Calibrated(made, write_calibration(subject.folder, made), lines)


def calibrate_temperature(
    spec: Spec, name: str, *, split: Split = "validation", kind: Kind | None = None, progress: Progress = quiet
) -> Calibrated:
    """Make the right answers of a split's rows as likely as a temperature can. A threshold that is there is forgotten:
    it was fitted for other probabilities. Raises BadInput as `calibrate_threshold`."""
    subject, predictions = _asked(spec, name, split, kind, progress)
    before = subject.calibration or Calibration(subject.spec.answers)
    temperature = fit_temperature(predictions, subject.right)
    plain, made = Calibration(before.answers), Calibration(before.answers, temperature)
    lines = [
        f"loss {loss(predictions, subject.right):.3f} before, {loss(predictions, subject.right, temperature):.3f} now"
    ]
    errors = [_calibration_error(subject, predictions, each) for each in (plain, made)]
    if None not in errors:
        lines.append(f"ECE {errors[0]:.3f} before, {errors[1]:.3f} now")
    told = f"temperature: {'; '.join(lines)}; {_rows(subject)}"
    made = replace(made, fitted=told)
    return Calibrated(made, write_calibration(subject.folder, made), lines, before.threshold is not None)


def _asked(
    spec: Spec, name: str, split: Split, kind: Kind | None, progress: Progress
) -> tuple[MeasuredAdapter, Predictions]:
    one = spec.one(name)
    subject = MeasuredAdapter(Evaluator(spec, progress), name, one.model_copy(update={"kind": kind or one.kind}), split)
    _ = subject.calibration  # a damaged one is told of before anything is computed
    predictions = subject.predictions
    if not isinstance(predictions, Predictions):
        raise BadInput(f"'{name}' writes texts: only an intrinsic with `answers` can be calibrated")
    return subject, predictions


def _alarm_above(calibration: Calibration, alarm: str | None) -> bool:
    """Is the alarm a number from the threshold on?"""
    if alarm is None:
        return True
    if alarm not in calibration.answers or len(calibration.answers) > 2:
        known = ", ".join(calibration.answers)
        help = "leave it out: the alarm is what is true" if len(calibration.answers) > 2 else f"the answers are {known}"
        raise BadInput(f"{alarm!r} can't be the alarm", help)
    return alarm == calibration.higher


def _lines(calibration: Calibration, above: bool, now: Rates, before: Rates) -> list[str]:
    """What alarms and misses are, and how many there were and are."""
    yes, no = "true", "false"
    if len(calibration.answers) == 2:
        yes = calibration.higher
        no = next(answer for answer in calibration.answers if answer != yes)
    alarm, other = (yes, no) if above else (no, yes)
    named = (
        (f'false alarms ("{alarm}" where "{other}" is right)', now.false_alarms, before.false_alarms),
        (f'misses ("{other}" where "{alarm}" is right)', now.misses, before.misses),
    )
    return [f"{name} {100 * new:.1f} %, before {100 * old:.1f} %" for name, new, old in named]


def _rows(subject: MeasuredAdapter) -> str:
    files = subject.spec.test if subject.split == "test" else subject.spec.validation
    return f"{len(subject.rows)} rows of {', '.join(files)}"


def _noted(before: Calibration, told: str, kind: str) -> str:
    """What was fitted, without what was said of the same kind before."""
    return "\n".join([line for line in before.fitted.splitlines() if not line.startswith(f"{kind}:")] + [told])


def _calibration_error(subject: MeasuredAdapter, predictions: Predictions, decides: Calibration) -> float | None:
    found = chosen(predictions, subject.rows, subject.spec.answers, decides)
    if not found.reliability or found.numbers is None or found.targets is None:
        return None
    return float(calibration_error(found.numbers, found.targets, once(len(found.targets)))[0])
