"""How good the intrinsics of a spec are: each on its rows, beside the rules and models that it has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from alora_flow.errors import BadAdapter, BadInput
from alora_flow.intrinsics.calibration import Calibration, read_calibration
from alora_flow.intrinsics.library import find_model
from alora_flow.prompts.contents import KnownText, Turn
from alora_flow.training.calibration_fitting import least_wrong
from alora_flow.training.library import adapter_folder, checked_adapter, find_folder
from alora_flow.training.measuring import Answered, Measured, Written, chosen, groups_of, measure, right_answers
from alora_flow.training.metrics import once
from alora_flow.training.predictions import (
    AskedSamples,
    EnginePredictor,
    Predictions,
    Progress,
    TextPredictions,
    majority,
    quiet,
)
from alora_flow.training.rows import LabelledRow, read_rows
from alora_flow.training.samples import SampleEncoder, TrainingSample
from alora_flow.training.spec import IntrinsicSpec, Spec

Kind = Literal["alora", "lora"]
Split = Literal["test", "validation"]
KINDS: dict[Kind, str] = {"alora": "aLoRA", "lora": "LoRA"}

TRAIN_EXTRA = "pip install 'alora-flow[train]'"

CHOOSING = 200
"""So many of the validation rows, drawn by the intrinsic's seed, choose the best plain prompt."""


@dataclass(frozen=True)
class Evaluation:
    """systems: what was measured, by name; the first is the adapter itself. calibration: that was applied to it.
    prompt: the plain prompt that was best. difference: where PEFT was asked, too, the largest distance of a probability
    (of texts, of a mean log-probability) between it and the engine."""

    name: str
    base: str
    split: Split
    folder: Path
    systems: dict[str, Measured]
    calibration: Calibration | None
    prompt: str | None = None
    difference: float | None = None

    @property
    def own(self) -> Measured:
        """The adapter's own figures."""
        return next(iter(self.systems.values()))


class Evaluator:
    """Evaluates the intrinsics of one spec on one engine."""

    def __init__(self, spec: Spec, progress: Progress = quiet) -> None:
        """Raises ModelNotFound and BadModel. The model is loaded when it is first asked."""
        self.spec = spec
        self.base = find_model(spec.base, spec.path.parent)
        self._progress = progress

    @cached_property
    def engine(self) -> EnginePredictor:
        return EnginePredictor(self.base, self._progress)

    def evaluate(
        self, name: str, split: Split = "test", kind: Kind | None = None, peft: bool = False, calibrated: bool = True
    ) -> Evaluation:
        """One intrinsic. kind: the spec's own where None. peft: its figures by PEFT instead of the engine.

        Raises BadInput for rows, specs, adapters and calibrations that are wrong, with what to do.
        """
        spec = self.spec.one(name)
        spec = spec.model_copy(update={"kind": kind or spec.kind})
        subject = MeasuredAdapter(self, name, spec, split, beside=bool(spec.plain_prompts))
        decides = subject.calibration if calibrated else None
        own, difference = subject.predictions, None
        if peft:
            own, difference = subject.by_peft()
        systems = {KINDS[subject.spec.kind]: subject.measured(own, decides)}
        if (other := subject.other) is not None:
            decided = other.calibration if calibrated else None
            systems[KINDS[other.spec.kind]] = other.measured(other.predictions, decided)
        prompt = None
        if spec.plain_prompts:
            prompt, plain_decides = subject.plain_prompt
            systems["plain prompt"] = subject.measured(subject.predicted[1], plain_decides)
        if spec.answers:
            systems["majority"] = subject.measured(majority(subject.right, len(spec.answers)), None)
        return Evaluation(name, self.base.name, split, subject.folder, systems, decides, prompt, difference)


class MeasuredAdapter:
    """An adapter, and the rows that it is asked. beside: is the bare base asked, too, by the best plain prompt?"""

    def __init__(self, home: Evaluator, name: str, spec: IntrinsicSpec, split: Split, beside: bool = False) -> None:
        self.home, self.name, self.spec, self.split, self.beside = home, name, spec, split, beside
        self.folder = adapter_folder(home.spec, name, home.base, spec.kind)
        self.rows = rows_of(home.spec, name, split)
        self.encoder = SampleEncoder(home.base, spec)
        checked_adapter(self.folder, self.encoder)

    @cached_property
    def samples(self) -> list[TrainingSample]:
        return self.encoder.samples(self.rows, self.home.engine.engine.model.source.max_positions)

    @property
    def labels(self) -> list[tuple[int, ...]]:
        return list(self.encoder.labels.values())

    @cached_property
    def right(self) -> Any:
        return right_answers(self.rows, self.spec.answers)

    @cached_property
    def calibration(self) -> Calibration | None:
        """What its owner has fitted. Raises BadAdapter where that was for other answers."""
        found = read_calibration(self.folder)
        if found is not None and dict(found.answers) != self.spec.answers:
            raise BadAdapter(
                f"{self.folder} is calibrated for the answers {', '.join(found.answers)} and their numbers, "
                f"and {self.home.spec.path} has others for '{self.name}'",
                "fit the calibration again, or delete it",
            )
        return found

    @cached_property
    def predicted(self) -> Sequence[Predictions | TextPredictions]:
        """By the engine: the adapter's answers, and the bare base's, where that is asked; together, so that the rows
        are read once."""
        own = AskedSamples(self.samples, self.home.engine.add(self.folder))
        base = [AskedSamples(self._prompted(self.plain_prompt[0], self.rows), None)] if self.beside else []
        return self._ask([own, *base])

    @property
    def predictions(self) -> Predictions | TextPredictions:
        """The adapter's, by the engine."""
        return self.predicted[0]

    @cached_property
    def other(self) -> MeasuredAdapter | None:
        """The adapter of the other kind, if the library has one."""
        kind: Kind = "lora" if self.spec.kind == "alora" else "alora"
        if find_folder(self.home.spec, self.name, self.home.base, kind) is None:
            return None
        return MeasuredAdapter(self.home, self.name, self.spec.model_copy(update={"kind": kind}), self.split)

    def by_peft(self) -> tuple[Predictions | TextPredictions, float]:
        """By PEFT, and the largest difference to the engine."""
        oracle = peft_module().PeftPredictor(self.home.base, self.folder, self.spec.activate, self.home._progress)
        engine = self.predictions
        if isinstance(engine, TextPredictions):
            texts: TextPredictions = oracle.texts(self.samples)
            return texts, _distance(texts.log_probabilities, engine.log_probabilities)
        found: Predictions = oracle.labels(self.samples, self.labels)
        return found, _distance(found.probabilities(), engine.probabilities())

    @cached_property
    def plain_prompt(self) -> tuple[str, Calibration | None]:
        """What the bare base is asked, by the prompt that is best on validation rows, with the threshold that is best
        there."""
        rows = rows_of(self.home.spec, self.name, "validation")
        rows = Random(self.spec.seed).sample(rows, min(CHOOSING, len(rows)))
        prompts = self.spec.plain_prompts
        found = self._ask([AskedSamples(self._prompted(prompt, rows), None) for prompt in prompts])
        judged = [self._judged(prompt, one, rows) for prompt, one in zip(prompts, found, strict=True)]
        _, prompt, decides = min(judged, key=lambda one: one[0])
        return prompt, decides

    def measured(self, found: Predictions | TextPredictions, decides: Calibration | None) -> Measured:
        answered = self._answered(found, self.rows, decides)
        files = [row.file.removeprefix(f"{self.home.spec.data}/") for row in self.rows]
        return measure(answered, groups_of(self.rows), files, [row.source for row in self.rows])

    def _answered(
        self, found: Predictions | TextPredictions, rows: Sequence[LabelledRow], decides: Calibration | None
    ) -> Answered:
        if isinstance(found, TextPredictions):
            return Written(found)
        return chosen(found, rows, self.spec.answers, decides)

    def _judged(
        self, prompt: str, found: Predictions | TextPredictions, rows: Sequence[LabelledRow]
    ) -> tuple[float, str, Calibration | None]:
        """The error of a prompt on rows, and what makes it least."""
        decides, answers = None, self.spec.answers
        if isinstance(found, Predictions) and len(answers) == 2:
            plain = chosen(found, rows, answers, None)
            if plain.positive is not None and plain.numbers is not None:
                span = (min(answers.values()), max(answers.values()))
                decides = Calibration(answers, threshold=least_wrong(plain.numbers, plain.positive, span))
        figures = self._answered(found, rows, decides).figures(np.arange(len(rows)), once(len(rows)))
        return float(figures["error"][0]), prompt, decides

    def _prompted(self, prompt: str, rows: Sequence[LabelledRow]) -> list[TrainingSample]:
        """Rows with the prompt as a further turn of the user."""
        prompter = self.encoder.prompter
        samples = []
        for row, sample in zip(rows, map(self.encoder.sample, rows), strict=True):
            thread = self.encoder.thread(row).then(Turn("user", (KnownText(prompt),)))
            known = [symbol for symbol in prompter.thread_symbols(thread) if isinstance(symbol, int)]
            samples.append(replace(sample, context=(*known, *prompter.generation_tokens(thread)), adapted=()))
        return samples

    def _ask(self, asked: Sequence[AskedSamples]) -> Sequence[Predictions | TextPredictions]:
        engine = self.home.engine
        return engine.labels(asked, self.labels) if self.labels else [engine.texts(one) for one in asked]


def _distance(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max())


def rows_of(spec: Spec, name: str, split: Split) -> list[LabelledRow]:
    """The rows of a split. Raises BadInput for none, and for a label that is none of the intrinsic's."""
    one = spec.one(name)
    files = one.test if split == "test" else one.validation
    if not files:
        raise BadInput(
            f"{spec.path} names no test rows for '{name}'", 'add test = "FILE.jsonl", or measure --split validation'
        )
    rows = read_rows(spec.data, files)
    for row in rows:
        if one.answers and row.completion not in one.answers:
            known = ", ".join(one.answers)
            raise BadInput(f"{row.where}: the label is {row.completion!r}, which is none of the answers: {known}")
    return rows


def peft_module() -> Any:
    """The module that asks PEFT. Raises BadInput where that is not installed."""
    try:
        return import_module("alora_flow.training.peft_oracle")
    except ModuleNotFoundError as error:
        raise BadInput(f"PEFT can't be asked: {error.name} is not installed", TRAIN_EXTRA) from error


def evaluate(
    spec: Spec,
    names: Sequence[str] = (),
    *,
    split: Split = "test",
    kind: Kind | None = None,
    peft: bool = False,
    calibrated: bool = True,
    progress: Progress = quiet,
) -> Iterator[Evaluation]:
    """The intrinsics of a spec, or those of these names, one after the other. The arguments are those of
    `Evaluator.evaluate`."""
    evaluator = Evaluator(spec, progress)
    for name in names or spec.intrinsic:
        yield evaluator.evaluate(name, split, kind, peft, calibrated)
