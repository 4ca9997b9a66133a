"""How wide a fan-out gets: its limit, or the length of its list where that is known."""

from __future__ import annotations

from alora_flow.language.checking.checker import Checker
from alora_flow.language.checking.frames import constant_int
from alora_flow.language.meaning import program
from alora_flow.language.meaning.folding import fold
from alora_flow.language.syntax import nodes


def limit(checker: Checker, node: nodes.For, source: program.Expression) -> int:
    """The most elements that the fan-out takes; reports a list of which that is not known."""
    if node.limit is not None:
        return constant_int(checker, node.limit, "the limit of a fan-out")
    length = length_of(checker, source)
    if length is not None:
        return length
    help = "write 'limit 8' after the list: the plan must know how wide it can get"
    checker.report.add("E0605", "a fan-out over a list of unknown length needs a limit", node.source.span, help)
    return 1


def length_of(checker: Checker, source: program.Expression) -> int | None:
    """How long a list is, where that is known."""
    match source:
        case program.Reference(binding=binding):
            return checker.unit.lengths.get(binding.id)
        case program.ListValue(items=items):
            return len(items)
        case program.Generate(samples=int() as samples):
            return samples
        case program.Builtin(function="range", arguments=(count,)):
            number = fold(count)
            return number.value if isinstance(number, program.Literal) and isinstance(number.value, int) else None
        case program.Builtin(function="enumerate" | "sort" | "reverse", arguments=(inner, *_)):
            return length_of(checker, inner)
        case program.Builtin(function="zip", arguments=arguments):
            lengths = (length_of(checker, argument) for argument in arguments)
            known = [length for length in lengths if length is not None]
            return min(known) if known else None
    return None
