"""A prefix plan in the terminal: the calls, then what the same calls would cost otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from alora_flow.planning.prefix.amounts import Amount
from alora_flow.planning.prefix.plan import PlannedCall, PrefixPlan
from alora_flow.views.amounts import Notation, difference, least_share, saved_share
from alora_flow.views.drawing import Drawing, extended, shorten, tidy
from alora_flow.views.graph_text import MOST_ROWS, graph_table, left_out

COLUMNS = ("call", "on thread", "reused", "to prefill", "writes ≤", "adapter")
NUMBERS = ("reused", "to prefill", "writes ≤")
KEPT = (*NUMBERS, "adapter")
"""Columns that are never made narrower than what they hold."""

LONGEST_THREAD = 18
ACTIVE = "An adapter acts from that token of its prompt on (the first is 0), or on its last ones; – is the base model."


def show_plan(console: Console, drawing: Drawing, plan: PrefixPlan) -> None:
    """The graph, the plan, and what the numbers mean."""
    with console.capture() as capture:
        console.print(graph_table(drawing))
        if plan.calls:
            _show_calls(console, plan)
        else:
            console.print("\nNo call of a model.")
    console.file.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _show_calls(console: Console, plan: PrefixPlan) -> None:
    notation = Notation(plan)
    console.print(_calls(plan, notation), *left_out(len(plan.calls), "calls"))
    console.print(_totals(plan, notation))
    console.print()
    for line in (*_own_lines(plan, notation), ACTIVE, *notation.explained()):
        console.print(Text(line, style="dim"))


def _calls(plan: PrefixPlan, notation: Notation) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_footer=True, pad_edge=False)
    rows = [row for call in plan.calls[:MOST_ROWS] for row in (_row(call, notation), *_own_rows(call, notation))]
    totals = ("total", "", notation.stack(plan.reused), notation.stack(plan.prefilled), f"{plan.generated_at_most}", "")
    for column, (name, total) in enumerate(zip(COLUMNS, totals, strict=True)):
        width = _width([name, total, *(row[column] for row in rows)]) if name in KEPT else None
        justify: JustifyMethod = "right" if name in NUMBERS else "left"
        table.add_column(name, Text(total), width=width, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _width(cells: list[str]) -> int:
    """What the longest line takes."""
    return max(len(line) for cell in cells for line in cell.split("\n"))


def _row(call: PlannedCall, notation: Notation) -> tuple[str, ...]:
    return (
        tidy(call.node.id),
        shorten(extended(call), LONGEST_THREAD),
        notation.stack(call.reused),
        notation.stack(call.prefilled),
        str(call.generated_at_most),
        adapter_text(call, notation),
    )


def _own_rows(call: PlannedCall, notation: Notation) -> Iterator[tuple[str, ...]]:
    """What one call costs that the model may make itself."""
    for own in call.own.calls if call.own else ():
        returned = notation.show(own.returned)
        goes_on = f"{own.prefilled}" if own.returned == Amount() else f"{own.prefilled}\n+ {returned} to go on"
        adapter = "–" if own.adapter is None else tidy(own.adapter)
        yield f"  {tidy(own.name)}", "called by it", "all before", goes_on, f"{own.generated}", adapter


def _own_lines(plan: PrefixPlan, notation: Notation) -> Iterator[str]:
    """What all that the model may call comes to."""
    for call in plan.calls:
        if call.own is not None:
            prefilled, generated = call.own.expected
            yield (
                f"{tidy(call.node.id)} may call {_times(call.own.budget)}: at most "
                f"{notation.show(call.own.prefilled_at_most)} tokens more to prefill and {call.own.generated_at_most} "
                f"to write; {notation.show(prefilled)} and {generated} where each is called once."
            )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def adapter_text(call: PlannedCall, notation: Notation) -> str:
    """The adapter, and on which tokens of the prompt it acts; `–` for the base model."""
    if call.adapter is None or call.active_from is None:
        return "–"
    return f"{tidy(call.adapter)}\n{_active(call, call.active_from, notation)}"


def _active(call: PlannedCall, start: Amount, notation: Notation) -> str:
    """`from 66`, or how many tokens before the end where what lies in front of them is not known."""
    adapted = difference(call.reused + call.prefilled, start)
    if start.known or adapted is None or not adapted.known:
        return f"from {notation.stack(start)}"
    return "last token" if adapted.tokens == 1 else f"last {adapted.tokens} tokens"


def _totals(plan: PrefixPlan, notation: Notation) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("this plan", notation.show(plan.prefilled), "to prefill")
    for name, instead in (("no reuse", plan.no_reuse), ("plain LoRA instead", plan.plain_lora)):
        table.add_row(name, notation.show(instead), saved(instead, plan.prefilled, notation))
    return table


def saved(instead: Amount, prefilled: Amount, notation: Notation) -> str:
    """`this plan saves 812 (80%)`, as far as it is known."""
    less = difference(instead, prefilled)
    if less is None:
        more = difference(prefilled, instead)
        return "" if more is None else f"this plan adds {notation.show(more)}"
    return f"this plan saves {notation.show(less)}{_share(instead, prefilled)}"


def _share(instead: Amount, prefilled: Amount) -> str:
    exact, least = saved_share(instead, prefilled), least_share(instead, prefilled)
    if exact is not None:
        return f" ({_percent(exact)})"
    return f" (at least {_percent(least)})" if least else ""


def _percent(share: float) -> str:
    """Rounded down, so that "at least" stays true; but 0.29 * 100 is 28.999…"""
    return f"{floor(100 * share + 1e-9)}%"
