"""The six adapters: cases of the closed world as samples, learnt as any base's intrinsics are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alora_flow.intrinsics.library import ModelFiles
from alora_flow.mini.recipe.encoding import samples
from alora_flow.mini.recipe.folders import LONGEST, MEANINGS, NAME, adapter_folder
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.tasks import Case
from alora_flow.training.batches import Material
from alora_flow.training.fitting import Fitted, Weights
from alora_flow.training.library_files import io_yaml_of, lora_config, write_adapter
from alora_flow.training.spec import IntrinsicSpec
from alora_flow.training.training import contexts_of, fitting_of

TRAIN, VALIDATION = 3000, 300
"""Cases that are learnt, and others that choose the best weights."""


def spec_of(name: str, seed: int) -> IntrinsicSpec:
    """How an intrinsic is learnt. Its rows are cases, which are made, not read."""
    return IntrinsicSpec(
        invocation=f"<|{name}|>",
        answers=MEANINGS[name],
        train=("cases",),
        validation=("cases",),
        rank=32,
        alpha=64,
        rate=2e-3,
        epochs=10,
        batch=64,
        evaluations=1,
        seed=seed,
    )


def learn(base: Path, encoder: Encoder, name: str, cases: Sequence[Case], seed: int) -> Fitted:
    """The best weights of one intrinsic's adapter; the last of the cases choose them. base: its folder."""
    spec, learnt = spec_of(name, seed), samples(encoder, name, cases)
    contexts = contexts_of(base, [sample.context for sample in learnt], "float32")
    train = Material(learnt[:-VALIDATION], contexts)
    validation = Material(learnt[-VALIDATION:], contexts, len(train))
    invocation = (encoder.role(name),)
    return fitting_of(ModelFiles(NAME, base), spec, invocation, train, validation, "float32").run()


def save_adapter(weights: Weights, spec: IntrinsicSpec, invocation: int, name: str, out: Path) -> None:
    """Write one adapter's folder, in bf16."""
    config = lora_config(spec, NAME, [invocation])
    contract = io_yaml_of(name, spec.answers, 1 if spec.answers else LONGEST)
    write_adapter(adapter_folder(out, name), config, weights, contract)
