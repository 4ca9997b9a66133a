"""Trains what the tables need and keeps what each adapter answers to the test rows; what is there is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np

from alora_flow.errors import BadInput
from alora_flow.intrinsics.library import find_model
from alora_flow.training.evaluating import Evaluator, MeasuredAdapter
from alora_flow.training.measuring import groups_of, right_answers
from alora_flow.training.paper.design import INTRINSICS, Table, Variant, tables
from alora_flow.training.paper.figures import Answers, Line, lines
from alora_flow.training.predictions import Predictions, Progress, quiet
from alora_flow.training.rows import LabelledRow, read_rows
from alora_flow.training.spec import IntrinsicSpec, Spec, read_spec
from alora_flow.training.training import Told, train

VALIDATION = 64
"""Rows that choose each adapter's best weights."""

SPLITS = ("train", "validation", "test")


SPEC = Path(__file__).with_name("paper.toml")
"""The paper's intrinsics, for bases whose turns begin with <|im_start|>."""


def read_study_spec(data: Path, model: str | None, path: Path | None, rows: int | None, epochs: int | None) -> Spec:
    """A specification of the paper's intrinsics. model: the base, relative to the working folder. rows, epochs: of
    every intrinsic. Raises BadInput where an intrinsic is missing."""
    spec = read_spec(path or SPEC, data=data, rows=rows, epochs=epochs)
    for name in INTRINSICS:
        spec.one(name)
    if model is None:
        return spec
    return spec.model_copy(update={"base": str(Path(model).resolve()) if Path(model).exists() else model})


class Study:
    """The adapters of one base and one data folder, in a work folder that remembers them."""

    def __init__(self, spec: Spec, work: Path, tests: int, told: Told, progress: Progress = quiet) -> None:
        """spec: of the paper's intrinsics. tests: test rows of each at most, drawn once."""
        self.spec, self.work, self.tests = spec, work, tests
        self._told, self._progress = told, progress
        self._rows = cache(self._write_rows)

    def tables(
        self, names: Sequence[str], seeds: Sequence[int], intrinsics: Sequence[str] = INTRINSICS
    ) -> dict[Table, list[Line]]:
        """Some of the tables, of some of the intrinsics, with what they lack trained first. Raises BadInput where these
        tables say nothing of these intrinsics."""
        named = (table for table in tables(self.spec.intrinsic) if table.name in names)
        wanted = [table for one in named if (table := one.only(intrinsics)).comparisons]
        if not wanted:
            raise BadInput(
                f"{' and '.join(names)} say nothing of {' and '.join(intrinsics)}",
                "the open questions are asked of safety: leave out --only or --intrinsic",
            )
        comparisons = [each for table in wanted for each in table.comparisons]
        found = self.answers([variant for each in comparisons for variant in each.variants], seeds)
        return {table: [line for each in table.comparisons for line in lines(each, found, seeds)] for table in wanted}

    def answers(self, variants: Iterable[Variant], seeds: Sequence[int]) -> dict[tuple[Variant, int], Answers]:
        """Of each variant with each seed. The adapters of an intrinsic that are missing are trained on one pass over
        its contexts. Raises what `train` and the evaluation raise."""
        specs = {(variant, seed): self._specification(variant, seed) for variant in variants for seed in seeds}
        names = {pair: self._name(pair[0].intrinsic, spec) for pair, spec in specs.items()}
        evaluator = Evaluator(self._spec_of({names[pair]: spec for pair, spec in specs.items()}), self._progress)
        for intrinsic in dict.fromkeys(variant.intrinsic for variant, _ in specs):
            own = list(dict.fromkeys(name for (variant, _), name in names.items() if variant.intrinsic == intrinsic))
            missing = [name for name in own if not self._adapter(evaluator, name).exists()]
            if missing:
                train(evaluator.spec, missing, told=self._told)
            for name in own:
                self._ask(evaluator, name)
        return {pair: self._read(evaluator, name) for pair, name in names.items()}

    def _name(self, intrinsic: str, spec: IntrinsicSpec) -> str:
        """Trainings that are the same have the same name, whatever tables want them: those of one specification, on one
        base and on the same rows."""
        base = find_model(self.spec.base, self.spec.path.parent).folder.resolve()
        digest = blake2b(repr((spec.model_dump_json(), str(base), self.spec.precision)).encode(), digest_size=5)
        for file in (*spec.train, *spec.validation, *spec.test):
            digest.update((self.work / "rows" / file).read_bytes())
        return f"{intrinsic}-{digest.hexdigest()}"

    def _spec_of(self, intrinsics: dict[str, IntrinsicSpec]) -> Spec:
        places = {"library": self.work / "adapters", "data": self.work / "rows"}
        return self.spec.model_copy(update={"intrinsic": intrinsics, **places})

    def _specification(self, variant: Variant, seed: int) -> IntrinsicSpec:
        """Of one training; its rows are written."""
        usual, words = self.spec.one(variant.intrinsic), dict(variant.words)
        files = self._rows(variant.intrinsic, variant.words)
        answers = {words.get(label, label): number for label, number in usual.answers.items()}
        changed = {**dict(variant.changed), **files, "answers": answers, "seed": seed}
        return IntrinsicSpec.model_validate({**usual.model_dump(), **changed})

    def _write_rows(self, intrinsic: str, words: tuple[tuple[str, str], ...]) -> dict[str, str]:
        """The files of an intrinsic's rows, as many as are looked at. words: what its labels are called instead."""
        usual, names = self.spec.one(intrinsic), dict(words)
        folder = self.work / "rows" / (f"{intrinsic}-words" if words else intrinsic)
        folder.mkdir(parents=True, exist_ok=True)
        for split, most in zip(SPLITS, (None, VALIDATION, self.tests), strict=True):
            rows = _drawn(read_rows(self.spec.data, getattr(usual, split)), most)
            renamed = (row.model_copy(update={"completion": names.get(row.completion, row.completion)}) for row in rows)
            lines = [row.model_dump_json(exclude_defaults=True) + "\n" for row in renamed]
            (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        return {split: f"{folder.name}/{split}.jsonl" for split in SPLITS}

    def _adapter(self, evaluator: Evaluator, name: str) -> Path:
        return evaluator.spec.library / name / evaluator.base.name / evaluator.spec.one(name).kind

    def _kept(self, name: str) -> Path:
        return self.work / "answers" / f"{name}.json"

    def _ask(self, evaluator: Evaluator, name: str) -> None:
        """Let an adapter answer, by the engine as in a flow, unless it has."""
        path = self._kept(name)
        if path.exists():
            return
        predictions = MeasuredAdapter(evaluator, name, evaluator.spec.one(name), "test").predictions
        assert isinstance(predictions, Predictions)  # each of the paper's intrinsics has labels
        facts = json.loads((self._adapter(evaluator, name) / "training.json").read_text(encoding="utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = predictions.log_probabilities.argmax(1).tolist()
        path.write_text(json.dumps({"taken": taken, "minutes": facts["minutes"]}), encoding="utf-8")

    def _read(self, evaluator: Evaluator, name: str) -> Answers:
        spec, kept = evaluator.spec.one(name), json.loads(self._kept(name).read_text(encoding="utf-8"))
        rows = read_rows(evaluator.spec.data, spec.test)
        right, scale = right_answers(rows, spec.answers), len(spec.answers) > 2
        return Answers(np.array(kept["taken"]), right, scale, groups_of(rows), kept["minutes"])


def _drawn(rows: Sequence[LabelledRow], most: int | None) -> Sequence[LabelledRow]:
    return rows if most is None or len(rows) <= most else Random(0).sample(rows, most)
