"""Trains what the tables need and keeps what each adapter answers to the test rows; what is there is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from hashlib import blake2b
from multiprocessing import active_children, get_context
from os import SEEK_END
from pathlib import Path
from random import Random
from signal import SIG_IGN, SIGINT, signal

import numpy as np
import torch

from alora_flow.errors import BadInput, RunFailed
from alora_flow.intrinsics.library import ModelFiles, find_model
from alora_flow.training.evaluating import Evaluator, MeasuredAdapter
from alora_flow.training.measuring import groups_of, right_answers
from alora_flow.training.paper.design import INTRINSICS, Table, Variant, tables
from alora_flow.training.paper.figures import Answers, Line, Machine, lines
from alora_flow.training.predictions import Predictions, Progress, quiet
from alora_flow.training.rows import LabelledRow, read_rows
from alora_flow.training.spec import IntrinsicSpec, Spec, read_spec
from alora_flow.training.training import Told, train

VALIDATION = 64
"""Rows that choose each adapter's best weights."""

PORTION = 4
"""So many adapters of an intrinsic are trained by one process on one pass over their contexts."""

LAST = 1 << 20
"""Of each file of weights so many bytes tell it from others."""

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

    def __init__(
        self, spec: Spec, work: Path, tests: int, told: Told, progress: Progress = quiet, jobs: int = 1
    ) -> None:
        """spec: of the paper's intrinsics. tests: test rows of each at most, drawn once. jobs: processes that train, of
        one thread each; with one, this process does, with all threads."""
        self.spec, self.work, self.tests, self.jobs = spec, work, tests, jobs
        self._told, self._progress = told, progress
        self._rows = cache(self._write_rows)
        self._base = cache(lambda: _digest(find_model(spec.base, spec.path.parent)))

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
        """Of each variant with each seed; those that are missing are trained and asked. Raises what `train` and the
        evaluation raise."""
        specs = {(variant, seed): self._specification(variant, seed) for variant in variants for seed in seeds}
        names = {pair: self._name(pair[0].intrinsic, spec) for pair, spec in specs.items()}
        whole = self._spec_of({names[pair]: spec for pair, spec in specs.items()})
        missing = {name: one for name, one in whole.intrinsic.items() if not self._kept(name).exists()}
        if self.jobs == 1:
            for some in _alike(missing):
                learn_and_answer(whole, self.work, some, self._told, self._progress)
        else:
            self._side_by_side(whole, missing)
        return {pair: self._read(whole, name) for pair, name in names.items()}

    def _side_by_side(self, whole: Spec, missing: Mapping[str, IntrinsicSpec]) -> None:
        """By several processes, the longest work first: a plain adapter has no kept contexts."""
        plain = [[name] for name, one in missing.items() if one.kind == "lora"]
        kept = _alike({name: one for name, one in missing.items() if one.kind == "alora"})
        portions = [some[first : first + PORTION] for some in kept for first in range(0, len(some), PORTION)]
        done = 0
        with ProcessPoolExecutor(self.jobs, get_context("spawn"), _begin_process) as pool:
            work = {pool.submit(learn_and_answer, whole, self.work, part): part for part in [*plain, *portions]}
            try:
                for each in as_completed(work):
                    each.result()
                    done += len(work[each])
                    self._told("adapters", step=done, of=len(missing))
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in active_children():
                    process.terminate()  # it would train to its end; what it wrote is gone on with
                if isinstance(error, BrokenProcessPool):
                    raise RunFailed("a process that trained was killed", "fewer --jobs need less memory") from error
                raise

    def _name(self, intrinsic: str, spec: IntrinsicSpec) -> str:
        """Trainings that are the same have the same name, whatever tables want them: those of one specification, on one
        base and on the same rows."""
        digest = blake2b(repr((spec.model_dump_json(), self._base(), self.spec.precision)).encode(), digest_size=5)
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

    def _kept(self, name: str) -> Path:
        return answers_file(self.work, name)

    def _read(self, whole: Spec, name: str) -> Answers:
        spec, kept = whole.one(name), json.loads(self._kept(name).read_text(encoding="utf-8"))
        rows = read_rows(whole.data, spec.test)
        right, scale = right_answers(rows, spec.answers), len(spec.answers) > 2
        machine = Machine(kept["torch"], kept["threads"])
        return Answers(np.array(kept["taken"]), right, scale, groups_of(rows), kept["minutes"], machine)


def learn_and_answer(
    spec: Spec,
    work: Path,
    names: Sequence[str],
    told: Told = lambda name, **facts: None,
    progress: Progress = quiet,
) -> None:
    """Train those adapters that are missing, on one pass over their contexts, and let each answer its test rows by the
    engine, as in a flow."""
    evaluator = Evaluator(spec, progress)
    adapters = {name: spec.library / name / evaluator.base.name / spec.one(name).kind for name in names}
    if missing := [name for name, folder in adapters.items() if not folder.exists()]:
        train(spec, missing, told=told)
    for name, folder in adapters.items():
        predictions = MeasuredAdapter(evaluator, name, spec.one(name), "test").predictions
        assert isinstance(predictions, Predictions)  # each of the paper's intrinsics has labels
        facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        taken = predictions.log_probabilities.argmax(1).tolist()
        machine = {"torch": facts["versions"]["torch"], "threads": torch.get_num_threads()}
        path = answers_file(work, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".new")
        written.write_text(json.dumps({"taken": taken, "minutes": facts["minutes"], **machine}), encoding="utf-8")
        written.rename(path)


def answers_file(work: Path, name: str) -> Path:
    """What an adapter answered, in a work folder."""
    return work / "answers" / f"{name}.json"


def _begin_process() -> None:
    """One of several that train: it leaves the other cores to them, and Ctrl-C to the process that began it."""
    torch.set_num_threads(1)
    signal(SIGINT, SIG_IGN)


def _alike(specs: Mapping[str, IntrinsicSpec]) -> list[list[str]]:
    """The names of those that share contexts: an intrinsic's with one seed, which draws their rows."""
    groups: dict[tuple[str, int], list[str]] = {}
    for name, spec in specs.items():
        groups.setdefault((name.partition("-")[0], spec.seed), []).append(name)
    return list(groups.values())


def _digest(base: ModelFiles) -> str:
    """Of what a base's folder holds, wherever it lies."""
    digest = blake2b((base.folder / "config.json").read_bytes(), digest_size=16)
    for path in sorted(base.folder.glob("*.safetensors")):
        with path.open("rb") as file:
            file.seek(-min(LAST, file.seek(0, SEEK_END)), SEEK_END)
            digest.update(file.read())
    return digest.hexdigest()


def _drawn(rows: Sequence[LabelledRow], most: int | None) -> Sequence[LabelledRow]:
    return rows if most is None or len(rows) <= most else Random(0).sample(rows, most)
