"""The tables in Markdown: each figure over all seeds, with its interval, beside the first line's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from alora_flow.training.bootstrap import Estimate
from alora_flow.training.card import table
from alora_flow.training.paper.design import Table
from alora_flow.training.paper.figures import Line
from alora_flow.training.spec import Spec

READING = """Each figure is the mean over the seeds, and each seed draws other training rows, the same ones for every
line of an intrinsic with as many rows. An interval holds 95 % of the values when the test rows are drawn again (rows of
one passage together). The difference is to the first line of the same intrinsic, on the same rows; where its interval
holds zero, these rows do not tell the two apart. Error is the share of wrong answers; distance is how many steps of
its scale of ten an answer is off on average. Minutes are by the clock, beside whatever else the machine did, pauses
included; where several versions of torch are named above, several machines trained, and minutes are no comparison."""


def _said(value: float, scale: bool, sign: str = "") -> str:
    return f"{value:{sign}.2f}" if scale else f"{100 * value:{sign}.1f} %"


def _spread(estimate: Estimate, scale: bool, sign: str = "") -> str:
    return f"{_said(estimate.low, scale, sign)} to {_said(estimate.high, scale, sign)}"


def _row(line: Line) -> list[str]:
    scale, difference = line.scale, line.difference
    apart = "" if difference is None else f"{_said(difference.value, scale, '+')} ({_spread(difference, scale, '+')})"
    return [
        line.variant.intrinsic,
        line.variant.label,
        f"{_said(line.figure.value, scale)} ({_spread(line.figure, scale)})",
        ", ".join(_said(value, scale) for value in line.seeds),
        apart,
        f"{line.minutes:.1f}",
    ]


HEAD = ["intrinsic", "", "error or distance (95 %)", "each seed", "difference (95 %)", "minutes"]


def report(made: Mapping[Table, Sequence[Line]], spec: Spec, seeds: int, command: str) -> str:
    """The whole document. command: that writes it again."""
    heads = ["intrinsic", "training rows", "epochs", "batch", "learning rate", "test rows", "invocation"]
    settings = []
    for name, rows in {line.variant.intrinsic: line.rows for found in made.values() for line in found}.items():
        one = spec.one(name)
        learnt = [str(one.rows or "all"), str(one.epochs), str(one.batch), f"{one.rate:g}"]
        settings.append([name, *learnt, str(rows), f"`{one.invocation!r}`"])
    spent = sum(line.minutes * len(line.seeds) for line in _once(made))
    parts = [
        f"# The paper's tables on {spec.base}\n",
        f"`{command}` on {date.today().isoformat()}: {_counted(seeds, 'seed')}, {spent:.0f} minutes of training in "
        f"all, each by {_machines(made)}.\n",
        table(heads, settings),
        READING + "\n",
    ]
    for each, found in made.items():
        parts += [f"## {each.title}\n", table(HEAD, [_row(line) for line in found])]
    return "\n".join(parts)


def _machines(made: Mapping[Table, Sequence[Line]]) -> str:
    machines = sorted(frozenset().union(*(line.machines for found in made.values() for line in found)))
    told = (f"{_counted(one.threads, 'thread')} with torch {one.torch.partition('+')[0]}" for one in machines)
    return " or ".join(dict.fromkeys(told))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _once(made: Mapping[Table, Sequence[Line]]) -> list[Line]:
    """Lines of different trainings: what several tables show was done once."""
    return list(
        {
            (line.variant.intrinsic, line.variant.changed, line.variant.words): line
            for found in made.values()
            for line in found
        }.values()
    )


def as_json(made: Mapping[Table, Sequence[Line]]) -> dict[str, Any]:
    """The same as data."""

    return {
        each.name: [
            {
                "intrinsic": line.variant.intrinsic,
                "variant": line.variant.label,
                "measure": "distance" if line.scale else "error",
                "figure": asdict(line.figure),
                "seeds": line.seeds,
                "difference": line.difference and asdict(line.difference),
                "minutes": line.minutes,
            }
            for line in found
        ]
        for each, found in made.items()
    }
