"""`calibration.yaml`: where an intrinsic's owner wants it to decide, beside its `io.yaml`, which other readers keep.

```yaml
answers: {"Y": 1.0, "N": 0.0}   # what it was fitted for
temperature: 1.4                # the log-probabilities of the answers are divided by it
threshold: 0.31                 # true, or the answer with the larger number, from this mean of the numbers on
fitted: "false alarms 4.8 %, misses 2.0 %, 400 rows"
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from alora_flow.errors import BadAdapter, BadInput
from alora_flow.frozen import dataclass
from alora_flow.intrinsics.io_yaml import IoYaml
from alora_flow.intrinsics.rules import Likelihood
from alora_flow.intrinsics.whole_files import write_whole
from alora_flow.intrinsics.yaml_file import Entry, read_yaml

CALIBRATION = "calibration.yaml"
KEYS = ("answers", "temperature", "threshold", "fitted")
COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures lie between these."""

USUAL_THRESHOLD = 0.5
"""What a number is held against where a truth value is declared, and nothing was fitted."""


@dataclass(frozen=True)
class Calibration:
    """answers: what the adapter writes, with the numbers that they stood for when it was fitted. threshold: None for
    none. fitted: on what, and what was reached, for people."""

    answers: Mapping[str, float]
    temperature: float = 1.0
    threshold: float | None = None
    fitted: str = ""

    @property
    def higher(self) -> str:
        """The answer with the largest number."""
        return max(self.answers, key=lambda answer: self.answers[answer])

    @property
    def said(self) -> str:
        """What it changes, for people."""
        parts = [f"temperature {self.temperature:.4g}"] if self.temperature != 1 else []
        if self.threshold is not None:
            taken = f', and "{self.higher}" is taken,' if self.decides_answers else ""
            parts.append(f"true{taken} from {self.threshold:.4g} on")
        return "; ".join(parts)

    @property
    def decides_answers(self) -> bool:
        """Does it say which answer is taken? Of more than two, a threshold says only what is true."""
        return self.threshold is not None and len(self.answers) == 2


def read_calibration(folder: Path) -> Calibration | None:
    """Of an adapter's folder; None where it has none. Raises BadAdapter with the place of what is wrong."""
    path = folder / CALIBRATION
    if not path.exists():
        return None
    root = read_yaml(path)
    fields = root.fields(KEYS)
    if "answers" not in fields:
        raise root.wrong("the key 'answers' is missing", 'write answers: {"Y": 1.0, "N": 0.0}')
    answers = {name: float(number.number()) for name, number in fields["answers"].fields().items()}
    if len(set(answers.values())) < 2:
        raise fields["answers"].wrong("there must be two answers at least, with different numbers")
    if not {"temperature", "threshold"} & fields.keys():
        raise root.wrong("there is neither a temperature nor a threshold", "delete the file where nothing is fitted")
    low, high = min(answers.values()), max(answers.values())
    temperature = _between(fields["temperature"], COLDEST, HOTTEST) if "temperature" in fields else 1.0
    threshold = _between(fields["threshold"], low, high) if "threshold" in fields else None
    return Calibration(answers, temperature, threshold, fields["fitted"].text() if "fitted" in fields else "")


def _between(entry: Entry, low: float, high: float) -> float:
    number = float(entry.number())
    if not low <= number <= high:
        raise entry.unlike(f"a number from {low:g} to {high:g}")
    return number


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Beside the adapter, whole or not at all. Raises BadInput where it can't be written."""
    answers = ", ".join(
        f"{json.dumps(text, ensure_ascii=False)}: {_yaml(n)}" for text, n in calibration.answers.items()
    )
    lines = [f"answers: {{{answers}}}"]
    if calibration.temperature != 1:
        lines.append(f"temperature: {_yaml(calibration.temperature)}")
    if calibration.threshold is not None:
        lines.append(f"threshold: {_yaml(calibration.threshold)}")
    if calibration.fitted:
        lines.append(f"fitted: {_quoted(calibration.fitted)}")
    path = folder / CALIBRATION
    try:
        write_whole(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise BadInput(
            f"cannot write {path}: {error.strerror}", "calibrate a copy of the library, and name it by --library"
        ) from error
    return path


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _yaml(number: float) -> str:
    """`3e-07` without a point is a text in YAML."""
    digits, mark, exponent = repr(float(number)).partition("e")
    return f"{digits}{'' if '.' in digits or not mark else '.0'}{mark}{exponent}"


def check_rules(calibration: Calibration, folder: Path, io_yaml: IoYaml) -> None:
    """Raises BadAdapter where it was not fitted for the answers, or not for the numbers, that an io.yaml weighs."""
    weighed = [rule.numbers for rule in io_yaml.rules if isinstance(rule, Likelihood)]
    if len(weighed) != 1:
        raise BadAdapter(
            f"{folder / CALIBRATION} can't be applied: {io_yaml.path} has {len(weighed)} likelihood rules, not one",
            "delete it",
        )
    if dict(calibration.answers) != dict(weighed[0]):
        fitted, now = map(_listed, (calibration.answers, weighed[0]))
        raise BadAdapter(
            f"{folder / CALIBRATION} was fitted for the answers {fitted}, not for {now}", "fit it again, or delete it"
        )


def _listed(answers: Mapping[str, float]) -> str:
    return ", ".join(f"{text} ({number:g})" for text, number in answers.items())
