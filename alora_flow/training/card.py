"""Words and tables of model cards: no figure in them is typed by hand."""

from __future__ import annotations

from alora_flow.training.intervals import Figures

USEFUL = 0.25
"""An error rate above which an intrinsic is of little use, however surely it beats the trivial rule."""


def percent(x: float) -> str:
    """`0.9512` → `95.1 %`."""
    return f"{100 * x:.1f} %"


def spread(figures: Figures) -> str:
    """A figure's 95 % interval."""
    return f"{100 * figures['low']:.1f}–{100 * figures['high']:.1f} %"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def verdict(works: bool, error: float = 0.0) -> str:
    """Plain words for whether an adapter beats the rule that looks at nothing, and by enough to be of use."""
    if not works:
        return "**does not work yet**"
    return "works" if error < USEFUL else "**weak**: better than the trivial rule, not to be relied on"
