"""Figures of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from alora_flow.training.reliability_plot import SETTINGS


def draw_curve(log: Sequence[dict[str, Any]], best: int, title: str, path: Path) -> None:
    """The losses of training and validation rows by step, and the step whose weights were kept, as SVG."""
    with rc_context(SETTINGS):
        _curve(log, best, title).savefig(path, format="svg", metadata={"Date": None})


def _curve(log: Sequence[dict[str, Any]], best: int, title: str) -> Figure:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    noted = [one for one in log if "loss" in one]
    judged = [one for one in log if "validation" in one]
    axes.plot([one["step"] for one in noted], [one["loss"] for one in noted], color="#9ab", label="training rows")
    axes.plot(
        [one["step"] for one in judged], [one["validation"] for one in judged], "o-", color="#036", label="validation"
    )
    axes.axvline(best, color="#c60", linestyle=":", label=f"kept: step {best}")
    axes.set(xlabel="step", ylabel="loss", title=title, ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
