"""The whole recipe: base, six adapters, measurement, card, manifest. Started again on its folder, it continues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from alora_flow.mini import INTRINSICS
from alora_flow.mini.recipe.adapters import TRAIN, VALIDATION, learn, save_adapter, spec_of
from alora_flow.mini.recipe.base import BasePlan, Training
from alora_flow.mini.recipe.evaluation import evaluate
from alora_flow.mini.recipe.folders import load_base, save_base, seat_invocations, write_json
from alora_flow.mini.recipe.measuring import answer_pairs, exact, own_answers
from alora_flow.mini.recipe.network import Network
from alora_flow.mini.recipe.shipping import summary, write
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world import heldout
from alora_flow.mini.world.calls import ASKS
from alora_flow.mini.world.tasks import cases_of

WATCHED = 128
# These judge an answer, where a user would.
AFTER_ANSWER = ("uncertainty", "hallucination", "judge")


def watcher(encoder: Encoder) -> Callable[[Network], dict[str, object]]:
    """What is measured now and then while the base trains."""
    samples = {
        "small": heldout.answerable(91, heldout.SMALL, WATCHED),
        "large": heldout.answerable(92, heldout.LARGE, WATCHED),
        "careful": heldout.unanswerable(93, heldout.SMALL, WATCHED, careful=True),
    }
    pairs = {name: answer_pairs(encoder, some) for name, some in samples.items()}
    return lambda network: {name: round(sum(exact(network, p)) / len(p), 3) for name, p in pairs.items()}


def train_base(out: Path, plan: BasePlan) -> dict[str, object]:
    """Train the base and write it in its shipped form; returns what it took."""
    training = Training(out / "work", plan)
    network = training.run(watcher(training.encoder))
    encoder = training.encoder
    # What the base has learned to call has an embedding of its own.
    seated = [name for name in INTRINSICS if name not in ASKS]
    seats = {name: "user" if name in AFTER_ANSWER else "assistant" for name in seated}
    seat_invocations(network, {encoder.role(name): encoder.role(role) for name, role in seats.items()})
    save_base(network, out / "work", out / "base")
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "tokens": training.clock.tokens,
        "steps": training.optimiser.count,
        "minutes": round(training.clock.seconds / 60, 1),
        "threads": plan.threads,
        "bf16_matrices": training.half,
    }


def train_adapter(out: Path, name: str, seed: int, count: int = TRAIN) -> dict[str, object]:
    """Train one adapter on the shipped base and so many cases, and write its folder; returns what it took."""
    start = time.monotonic()
    network, encoder = load_base(out / "base"), Encoder.load(out / "base")
    number = 1000 * seed + INTRINSICS.index(name)
    cases = cases_of(name, "train", count + VALIDATION, number, own_answers(network, encoder))
    prepared = time.monotonic()
    fitted = learn(out / "base", encoder, name, cases, number)
    save_adapter(fitted.weights, spec_of(name, number), encoder.role(name), name, out)
    facts = {"parameters": sum(value.numel() for value in fitted.weights.values()), "cases": count}
    best = {"loss": round(fitted.best.loss, 4), "step": fitted.best.step, "steps": fitted.steps}
    return {
        **facts,
        **best,
        "data_seconds": round(prepared - start),
        "seconds": round(time.monotonic() - start),
    }


class Costs:
    """What each part of the recipe took, kept in the work folder so that a restart remembers."""

    def __init__(self, out: Path) -> None:
        self.path = out / "work" / "costs.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.parts = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def once(self, name: str, make: Callable[[], dict[str, object]]) -> None:
        """Make a part unless it was made before."""
        if name not in self.parts:
            self.parts[name] = make()
            print(json.dumps({name: self.parts[name]}), flush=True)
            write_json(self.path, self.parts)


def starts(out: Path) -> list[float]:
    """The minutes of training at which the base was started; more than one where it was continued."""
    lines = map(json.loads, (out / "work" / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return sorted({line["minutes"] for line in lines if "seed" in line})


def command(plan: BasePlan) -> str:
    """The command that does this again."""
    budget = f"--minutes {plan.minutes:g}" if plan.minutes else f"--tokens {plan.tokens}"
    return f"alora-flow mini train --out DIR --seed {plan.seed} {budget} --threads {plan.threads}"


def run(out: Path, plan: BasePlan) -> dict[str, object]:
    """Everything; returns the results that were written."""
    torch.set_num_threads(plan.threads)
    costs = Costs(out)
    costs.once("base", lambda: train_base(out, plan))
    for name in INTRINSICS:
        costs.once(name, lambda name=name: train_adapter(out, name, plan.seed))  # type: ignore[misc]
    measured = evaluate(out)
    course = spec_of(INTRINSICS[0], plan.seed).model_dump(include={"rank", "alpha", "rate", "epochs", "batch"})
    made = {"command": command(plan), "seed": plan.seed, "starts": starts(out), "course": course}
    results = {**made, "costs": costs.parts, **measured}
    results["seeds"] = [summary(results)]
    write(results, out)
    return results
