"""An adapter's card: what it does, how it was trained, what it is bad at, and every figure that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from alora_flow.training.card import table
from alora_flow.views.evaluation import NAMES, OF_PARTS, figure_text

Facts = Mapping[str, Any]


def intrinsic_card(trained: Facts, measured: Facts) -> str:
    """Markdown. trained: the adapter's `training.json`; measured: an evaluation, as `evaluation_json` gives it."""
    spec, name = trained["spec"], trained["intrinsic"]
    parts = [
        f"# {name}, for {trained['base']}",
        spec.get("description", ""),
        f"**What it is bad at:** {spec['weakness']}" if spec.get("weakness") else "",
        _interface(trained),
        "## How good it is",
        f"On {measured['systems'][_own(measured)]['rows']} rows of the {measured['split']} split; in brackets 95 % "
        "intervals, by drawing the rows' groups again. *Majority* says what is most common, in hindsight.",
        _compared(measured),
        _sources(measured),
        "## How it was trained",
        _training(trained),
        _rows(trained),
        _licences(spec.get("licences", {})),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _own(measured: Facts) -> str:
    """The adapter itself is the first of what was measured."""
    return str(next(iter(measured["systems"])))


def _interface(trained: Facts) -> str:
    spec, kind = trained["spec"], trained["spec"].get("kind", "alora")
    active = "from the first token on" if kind == "lora" else f"invoked by {spec['invocation']!r}"
    answers = spec.get("answers")
    said = ", ".join(f"`{label}` ({value:g})" for label, value in answers.items()) if answers else "a text"
    return f"{'An activated LoRA' if kind == 'alora' else 'A plain LoRA'}, {active}; it writes {said}."


def _compared(measured: Facts) -> str:
    systems = measured["systems"]
    names = [name for name in NAMES if any(name in one["figures"] for one in systems.values())]
    return table(
        ["", *systems],
        [[NAMES[name], *(_cell(name, one["figures"].get(name)) for one in systems.values())] for name in names],
    )


def _sources(measured: Facts) -> str:
    parts = measured["systems"][_own(measured)]["parts"]
    names = [name for name in OF_PARTS if any(_known(one["figures"].get(name)) for one in parts.values())]
    rows = [
        [source, str(one["rows"]), *(_cell(name, one["figures"].get(name)) for name in names)]
        for source, one in parts.items()
    ]
    return table(["file or source", "rows", *(NAMES[name] for name in names)], rows) if rows else ""


def _known(figure: Facts | None) -> bool:
    return figure is not None and figure["value"] is not None


def _cell(name: str, figure: Facts | None) -> str:
    if figure is None or figure["value"] is None or not isfinite(figure["value"]):
        return "–"
    return figure_text(name, figure["value"], figure["low"], figure["high"])


def _training(trained: Facts) -> str:
    settings = trained["settings"]
    told = ", ".join(f"{key} {_short(value)}" for key, value in settings.items())
    beginnings = ", then ".join(_beginning(one) for one in trained.get("beginnings", []))
    begun = f"It began with the weights of {beginnings}. " if beginnings else ""
    return (
        f"{begun}{_amount(trained)}, in {trained['precision']}; the weights of step {trained['best_step']}, with a "
        f"loss of {trained['validation_loss']:.4f} on {trained['rows']['validation']} validation rows. {told}. "
        "`training.json`, `training.jsonl` and `training.svg` beside this card say more."
    )


def _beginning(trained: Facts) -> str:
    """Another intrinsic, and what it took."""
    return f"`{trained['intrinsic']}`" + (f" ({_amount(trained)})" if "steps" in trained else "")


def _amount(trained: Facts) -> str:
    reading = trained.get("minutes_of_reading")
    of_them = f", {reading} of them for reading contexts" if reading else ""
    return f"{trained['rows']['train']} rows, {trained['steps']} steps in {trained['minutes']} minutes{of_them}"


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(trained: Facts) -> str:
    rows = [[one["source"] or "–", one["answer"], str(one["rows"])] for one in trained["sources"]]
    return table(["source of training rows", "answer", "rows"], rows) if rows else ""


def _licences(licences: Mapping[str, str]) -> str:
    told = "\n".join(f"- {source}: {licence}" for source, licence in licences.items())
    return f"Licences of the data:\n\n{told}" if told else ""
