"""Training on kept contexts against PEFT with transformers' Trainer: examples a second, and what comes of it.

    python -m benchmarks.training --model smollm2 --data DIR --rows 128 --context 200 --epochs 10

Both train the same activated LoRA, from the same first weights, on the same rows with as many steps, in the same
precision, one after the other in this process. Ours counts the time for reading contexts, too. Rows are real: a request
of DIR/safety behind a system turn that is filled with text of DIR/answerability until there are so many tokens. Without
DIR they are drawn, which is enough for the time: tokens by chance, among which one of two says what the answer is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from alora_flow.intrinsics.library import ModelFiles, find_model
from alora_flow.training.adapted_model import AdaptedModel
from alora_flow.training.batches import IGNORED, Material
from alora_flow.training.contexts import read_contexts
from alora_flow.training.fitting import Fitting, side_by_side
from alora_flow.training.library_files import lora_config
from alora_flow.training.rows import read_rows
from alora_flow.training.samples import SampleEncoder, TrainingSample
from alora_flow.training.spec import IntrinsicSpec
from alora_flow.training.training import precision_of
from alora_runtime import Engine

BEGINNING = 20
"""Tokens of a system turn that stay where its text is too long."""

TESTS = 64
"""Rows that say how good an adapter is."""


def samples(encoder: SampleEncoder, count: int, context: int, seed: int) -> list[TrainingSample]:
    """Rows whose answer is told by a token of their context."""
    random = Random(seed)
    signs = [encoder.prompter.tokenizer.encode_data(word)[0] for word in (" red", " blue")]
    out = []
    for _ in range(count):
        which = random.randrange(2)
        tokens = [random.randrange(1000, 20_000) for _ in range(context)]
        tokens[random.randrange(context // 2, context)] = signs[which]
        out.append(TrainingSample(tuple(tokens), encoder.invocation, encoder.labels["YN"[which]]))
    return out


def real_samples(encoder: SampleEncoder, data: Path, split: str, count: int, context: int) -> list[TrainingSample]:
    """As many safe requests as unsafe ones, each behind as much text as there is room for. Raises BadInput."""
    random = Random(split)
    rows = random.sample(read_rows(data, [f"safety/{split}.jsonl"]), 4 * count)
    texts = [row.documents[0].text for row in random.sample(read_rows(data, [f"answerability/{split}.jsonl"]), count)]
    short = [row for row in rows if len(row.messages[-1].content) < 2 * context]
    some = [row for label in encoder.labels for row in [row for row in short if row.completion == label][: count // 2]]
    out = []
    for row, text in zip(random.sample(some, len(some)), texts, strict=False):
        system = row.messages[0].model_copy(
            update={"role": "system", "content": " ".join([text] * (1 + 8 * context // len(text)))}
        )
        whole = encoder.sample(row.model_copy(update={"messages": (system, *row.messages)}))
        more = len(whole.context) - context
        out.append(replace(whole, context=(*whole.context[:BEGINNING], *whole.context[BEGINNING + more :])))
    return out


class Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """Samples as transformers' Trainer takes them."""

    def __init__(self, some: Sequence[TrainingSample]) -> None:
        self.samples = some

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        one = self.samples[index]
        before = [*one.context, *one.adapted]
        return {"input_ids": [*before, *one.answer], "labels": [*[IGNORED] * len(before), *one.answer]}


def together(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    """Rows of one length as tensors."""
    return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}


def by_trainer(
    base: ModelFiles, spec: IntrinsicSpec, train: Sequence[TrainingSample], precision: str
) -> tuple[float, AdaptedModel]:
    """Seconds, and what was trained."""
    torch.manual_seed(spec.seed)
    config = lora_config(spec, base.name, train[0].adapted)
    config.inference_mode = False
    model = AdaptedModel(base.folder, config, getattr(torch, precision), over_contexts=False)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=spec.epochs,
            per_device_train_batch_size=spec.batch,
            learning_rate=spec.rate,
            weight_decay=spec.decay,
            adam_beta2=0.98,
            max_grad_norm=1.0,
            warmup_steps=spec.warmup,
            lr_scheduler_type="linear",
            seed=spec.seed,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Trainer(model=model.model, args=arguments, train_dataset=Rows(train), data_collator=together)
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began, model


def on_contexts(
    base: ModelFiles, spec: IntrinsicSpec, train: Sequence[TrainingSample], precision: str
) -> tuple[float, float, AdaptedModel]:
    """Seconds in all, seconds of these for reading contexts, and what was trained. No validation: the peer has none."""
    engine = Engine.load(base.folder, dtype=precision)
    torch.manual_seed(spec.seed)
    config = lora_config(spec, base.name, train[0].adapted, inference=False)
    model = AdaptedModel(base.folder, config, getattr(torch, precision), over_contexts=True)
    began = time.perf_counter()
    contexts = read_contexts(engine, [one.context for one in train])
    reading = time.perf_counter() - began
    material = Material(train, contexts)
    fitting = Fitting(model, spec, material, material)
    with side_by_side(fitting._parts()) as fitting._map:
        for epoch in range(spec.epochs):
            for rows in material.shuffled(spec.batch, Random(epoch)):
                fitting._learn(rows)
                fitting.step += 1
    return time.perf_counter() - began, reading, model


@torch.no_grad()
def quality(
    base: ModelFiles, spec: IntrinsicSpec, model: AdaptedModel, rows: Sequence[TrainingSample]
) -> tuple[float, float]:
    """The mean loss of the answers and the share of wrong ones, by PEFT's full forward pass in float32."""
    config = lora_config(spec, base.name, rows[0].adapted)
    judge = AdaptedModel(base.folder, config, torch.float32, over_contexts=False)
    judge.restore({name: value.float() for name, value in model.state().items()})
    judge.model.eval()
    loss, wrong = 0.0, 0
    for one in rows:
        scores = judge.model(input_ids=torch.tensor([[*one.context, *one.adapted]]), logits_to_keep=1).logits[0, -1]
        loss += float(F.cross_entropy(scores, torch.tensor(one.answer[0]))) / len(rows)
        wrong += int(scores.argmax()) != one.answer[0]
    return loss, wrong / len(rows)


def main() -> None:
    """Print the ratio and both qualities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--context", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    given = parser.parse_args()
    base, precision = find_model(given.model, Path()), precision_of(given.precision)
    spec = IntrinsicSpec(
        invocation="<|im_start|>safety\n",
        answers={"Y": 1.0, "N": 0.0},
        train=("",),
        validation=("",),
        epochs=given.epochs,
        batch=16,
        warmup=5,
    )
    encoder = SampleEncoder(base, spec)
    if given.data is None:
        train, test = samples(encoder, given.rows, given.context, 1), samples(encoder, TESTS, given.context, 2)
    else:
        train = real_samples(encoder, given.data, "train", given.rows, given.context)
        test = real_samples(encoder, given.data, "test", TESTS, given.context)
    ours, reading, own = on_contexts(base, spec, train, precision)
    peft, theirs = by_trainer(base, spec, train, precision)
    seen = given.rows * given.epochs
    qualities = [quality(base, spec, model, test) for model in (own, theirs)]
    print(json.dumps({"rows": given.rows, "context": given.context, "epochs": given.epochs, "precision": precision}))
    for name, seconds, (loss, wrong) in zip(("kept contexts", "PEFT, Trainer"), (ours, peft), qualities, strict=True):
        print(f"{name:14} {seconds:7.1f} s  {seen / seconds:6.2f} examples/s  loss {loss:.3f}  {wrong:.1%} wrong")
    print(f"ratio {peft / ours:.1f}x ({reading:.1f} s of ours for reading contexts)")


if __name__ == "__main__":
    main()
