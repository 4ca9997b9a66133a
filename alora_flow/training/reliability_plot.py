"""The reliability diagram as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from alora_flow.intrinsics.whole_files import write_whole
from alora_flow.training.metrics import Bin

SETTINGS = {"svg.hashsalt": "alora-flow", "svg.fonttype": "none"}
"""The same points give the same file, and text stays text."""

LARGEST = 300
"""The area of the point with the most rows, in square points."""


def draw_reliability(path: Path, curves: Mapping[str, Sequence[Bin]]) -> None:
    """A curve of points for each name, as large as they have rows: what was said against what came true. Raises
    OSError where the file can't be written."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
        for name, bins in curves.items():
            most = max((each.count for each in bins), default=1)
            said, true = [each.said for each in bins], [each.true for each in bins]
            (line,) = axes.plot(said, true, linewidth=1.2, label=f"{name} ({sum(each.count for each in bins)} rows)")
            axes.scatter(
                said, true, s=[LARGEST * each.count / most + 4 for each in bins], color=line.get_color(), alpha=0.6
            )
        axes.set(
            xlim=(0, 1), ylim=(0, 1), xlabel="probability that was said", ylabel="share that came true", aspect="equal"
        )
        axes.legend(loc="upper left", frameon=False)
        drawn = BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_whole(path, drawn.getvalue())
