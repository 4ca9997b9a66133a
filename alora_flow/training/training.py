"""`train`: from a spec to an intrinsics library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import torch
from safetensors.torch import load_file

from alora_flow.errors import BadInput, BadModel
from alora_flow.intrinsics.library import ModelFiles, find_model
from alora_flow.training.adapted_model import AdaptedModel
from alora_flow.training.batches import Material
from alora_flow.training.contexts import MEMORY, Contexts, Progress, read_contexts
from alora_flow.training.curves import draw_curve
from alora_flow.training.fitting import Fitted, Fitting, TrainingState, Weights
from alora_flow.training.library_files import io_yaml_of, lora_config, write_adapter, write_facts
from alora_flow.training.rows import LabelledRow, check_labels, check_splits, read_rows
from alora_flow.training.samples import SampleEncoder, TrainingSample
from alora_flow.training.spec import IntrinsicSpec, Precision, Spec
from alora_flow.training.work import LOG, Work
from alora_runtime import Engine
from alora_runtime.compute.support import read_model_folder
from alora_runtime.compute.weights import stored_tensors
from alora_runtime.errors import ModelError

ARENA = 32_768
"""Tokens of contexts that the engine holds at a time."""

Told = Callable[..., None]
"""Gets the name of an intrinsic (or "" for the contexts of all) and facts of where its training stands."""


@dataclass(frozen=True)
class Trained:
    """An adapter that was written: its folder, and what `training.json` there says."""

    name: str
    folder: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """An intrinsic whose rows were read and found right."""

    name: str
    spec: IntrinsicSpec
    encoder: SampleEncoder
    rows: Mapping[str, Sequence[LabelledRow]]
    samples: Mapping[str, Sequence[TrainingSample]]
    work: Work
    beginning: Path


def train(
    spec: Spec,
    names: Sequence[str] = (),
    *,
    again: bool = False,
    memory: int = MEMORY,
    told: Told = lambda name, **facts: None,
) -> list[Trained]:
    """Train the intrinsics of a spec, or some of them, and write their adapters; what was begun is gone on with.

    again: write adapters anew that are there already. memory: bytes of kept contexts that stay in memory.
    Raises BadInput before the first step for all that is wrong with spec, rows and folders; RunFailed for what goes
    wrong later.
    """
    base = find_model(spec.base, spec.path.parent)
    chosen = in_order(spec, names or tuple(spec.intrinsic))
    prepared = [prepare(spec, name, base) for name in chosen]
    for one in prepared:
        if one.spec.start and one.spec.start not in chosen[: chosen.index(one.name)]:
            _stored(one.beginning)
    precision = precision_of(spec.precision)
    with ExitStack() as locks:
        for one in prepared:
            locks.enter_context(one.work.locked(again))
        reading = _read(prepared, base, precision, memory, partial(told, ""))
        return [_trained(one, base, precision, reading, told) for one in prepared]


def in_order(spec: Spec, names: Sequence[str]) -> list[str]:
    """The intrinsics, each once and behind the one that it begins with. Raises BadInput for names that there are not,
    and for those that begin with each other."""
    chosen: list[str] = []
    for name in names:
        line = [name]
        while start := spec.one(line[-1]).start:
            if start in line:
                circle = " → ".join([*line[line.index(start) :], start])
                raise BadInput(
                    f"{spec.path}: `start` leads in a circle: {circle}", "one of them has to begin by itself"
                )
            line.append(start)
        chosen += [one for one in reversed(line) if one in names and one not in chosen]
    return chosen


def precision_of(wanted: Precision) -> str:
    """bfloat16 where the processor has instructions for it."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return ("bfloat16" if fast else "float32") if wanted == "auto" else wanted


def prepare(spec: Spec, name: str, base: ModelFiles) -> Prepared:
    """Read an intrinsic's rows and check all that can be checked before a step. Raises BadInput."""
    one = spec.one(name)
    rows = {
        "train": read_rows(spec.data, one.train),
        "validation": read_rows(spec.data, one.validation),
        "test": read_rows(spec.data, one.test) if one.test else [],
    }
    check_splits(rows)
    if one.rows is not None and one.rows < len(rows["train"]):
        rows["train"] = Random(one.seed).sample(rows["train"], one.rows)
    for split, some in rows.items():
        check_labels(some, one, {"train": "training"}.get(split, split))
    try:
        positions = read_model_folder(base.folder).max_positions
        stored_tensors(base.folder)  # transformers would read a pickle, too
    except ModelError as error:
        raise BadModel(str(error)) from error
    encoder = SampleEncoder(base, one)
    samples = {split: encoder.samples(rows[split], positions, drawn=True) for split in ("train", "validation")}
    used = blake2b(repr(samples).encode(), digest_size=16).hexdigest()
    folder = spec.library / name / base.name / one.kind
    identity = json.dumps([one.model_dump(), base.name, spec.precision, used], default=list)
    beginning = spec.library / one.start / base.name / one.kind
    return Prepared(name, one, encoder, rows, samples, Work(folder, identity), beginning)


@dataclass(frozen=True)
class Reading:
    """The contexts of all activated adapters, read in one pass. starts: where each one's begin. seconds: that the pass
    took for each one, by how many of its tokens are its own."""

    contexts: Contexts | None
    starts: Mapping[str, int]
    seconds: Mapping[str, float]


def _read(prepared: Sequence[Prepared], base: ModelFiles, precision: str, memory: int, told: Told) -> Reading:
    sequences: list[tuple[int, ...]] = []
    starts: dict[str, int] = {}
    tokens: dict[str, int] = {}
    for one in prepared:
        if one.spec.kind == "alora":
            starts[one.name] = len(sequences)
            sequences += [sample.context for split in one.samples.values() for sample in split]
            tokens[one.name] = sum(map(len, sequences[starts[one.name] :]))
    if not sequences:
        return Reading(None, starts, {})
    folder = prepared[0].work.folder

    def progress(done: int, of: int) -> None:
        told(tokens=done, of=of)

    began = monotonic()
    contexts = contexts_of(base.folder, sequences, precision, memory, folder, progress)
    each = (monotonic() - began) / max(1, sum(tokens.values()))
    return Reading(contexts, starts, {name: each * count for name, count in tokens.items()})


def contexts_of(
    base: Path,
    sequences: Sequence[Sequence[int]],
    precision: str,
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Contexts:
    """Of sequences, read by an engine with the base in that folder; the rest is as `read_contexts` has it. Raises
    BadModel."""
    try:
        engine = Engine.load(base, dtype=precision, cache_tokens=ARENA)
    except ModelError as error:
        raise BadModel(str(error)) from error
    return read_contexts(engine, sequences, memory, folder, progress)


def _trained(one: Prepared, base: ModelFiles, precision: str, reading: Reading, told: Told) -> Trained:
    """Train one adapter, or go on with it, and write it."""
    spec, work = one.spec, one.work
    kept, start = (reading.contexts, reading.starts[one.name]) if spec.kind == "alora" else (None, 0)
    train = Material(one.samples["train"], kept, start)
    validation = Material(one.samples["validation"], kept, start + len(train))

    def note(**facts: Any) -> None:
        work.log(**facts)
        told(one.name, **facts)

    fitting = fitting_of(base, spec, one.encoder.invocation, train, validation, precision, note, work.keep)
    if spec.start:
        fitting.model.restore(_weights_of(one.beginning, fitting.model.state()))
    beginnings = _beginnings(one)
    if state := work.state:
        fitting.resume(state)
        told(one.name, step=fitting.step, of=fitting.total, resumed=True)
    with work.writing():
        fitted = fitting.run()
        facts = _facts(one, base, precision, fitted, reading.seconds.get(one.name, 0.0), fitting.seconds)
        facts["beginnings"] = beginnings
        return Trained(one.name, _write(one, base, fitted, facts), facts)


def fitting_of(
    base: ModelFiles,
    spec: IntrinsicSpec,
    invocation: Sequence[int],
    train: Material,
    validation: Material,
    precision: str,
    told: Callable[..., None] = lambda **facts: None,
    kept: Callable[[TrainingState], None] = lambda state: None,
) -> Fitting:
    """A run that is to begin, with first weights of the spec's seed. invocation: its tokens. The rest is as `Fitting`
    has it."""
    torch.manual_seed(spec.seed)
    config = lora_config(spec, base.name, invocation, inference=False)
    model = AdaptedModel(base.folder, config, getattr(torch, precision), train.contexts is not None)
    return Fitting(model, spec, train, validation, told, kept)


def _weights_of(folder: Path, own: Weights) -> Weights:
    """An adapter's, to begin with. Raises BadInput where it isn't there, or has other shapes."""
    file = _stored(folder)
    weights = {name: value.to(own[name].dtype) for name, value in load_file(file).items() if name in own}
    if {name: value.shape for name, value in weights.items()} != {name: value.shape for name, value in own.items()}:
        raise BadInput(f"{file} has other weights than this adapter", "give both the same rank and targets")
    return weights


def _stored(folder: Path) -> Path:
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise BadInput(f"there is no {file} to begin with", "train that intrinsic first")
    return file


def _facts(
    one: Prepared, base: ModelFiles, precision: str, fitted: Fitted, reading: float, learning: float
) -> dict[str, Any]:
    """What a card says of a training. reading, learning: seconds of both, by the clock."""
    counts = Counter((row.source, row.completion) for row in one.rows["train"])
    return {
        "intrinsic": one.name,
        "base": base.name,
        "spec": one.spec.model_dump(mode="json", exclude_defaults=True),
        "settings": one.spec.model_dump(
            mode="json", include={"rank", "alpha", "targets", "rate", "epochs", "batch", "decay", "dropout", "seed"}
        ),
        "invocation_tokens": list(one.encoder.invocation),
        "rows": {split: len(rows) for split, rows in one.rows.items()},
        "sources": [{"source": source, "answer": label, "rows": n} for (source, label), n in sorted(counts.items())]
        if one.spec.answers
        else [],
        "precision": precision,
        "steps": fitted.steps,
        "best_step": fitted.best.step,
        "validation_loss": round(fitted.best.loss, 5),
        "validation_error": round(fitted.best.error, 5),
        "minutes": round((reading + learning) / 60, 1),
        "minutes_of_reading": round(reading / 60, 1),
        "versions": {"torch": torch.__version__},
    }


def _beginnings(one: Prepared) -> list[dict[str, Any]]:
    """The trainings before this one, whose last weights it begins with; of one whose folder says nothing of its
    training, the name. Raises BadInput where that can't be read."""
    told = one.beginning / "training.json"
    if not one.spec.start or not told.is_file():
        return [{"intrinsic": one.spec.start}] if one.spec.start else []
    try:
        facts = json.loads(told.read_text(encoding="utf-8"))
        own = {key: facts[key] for key in ("intrinsic", "rows", "steps", "minutes")}
        # What was trained before reading was counted has no minutes of it, and no beginnings.
        reading = {key: facts[key] for key in ("minutes_of_reading",) if key in facts}
        return [*facts.get("beginnings", []), {**own, **reading}]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{told} is damaged, or not of a training", f"train '{one.spec.start}' again, or delete that file"
        ) from error


def _write(one: Prepared, base: ModelFiles, fitted: Fitted, facts: Mapping[str, Any]) -> Path:
    spec, work = one.spec, one.work
    made = work.folder / "adapter"
    longest = max(len(sample.answer) for split in one.samples.values() for sample in split)
    config = lora_config(spec, base.name, one.encoder.invocation)
    write_adapter(made, config, fitted.weights, io_yaml_of(one.name, spec.answers, longest))
    write_facts(made / "training.json", facts)
    log = work.logged(fitted.steps)
    (made / LOG).write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    draw_curve(log, fitted.best.step, f"{one.name} on {base.name}", made / "training.svg")
    work.finish(made)
    return work.adapter
