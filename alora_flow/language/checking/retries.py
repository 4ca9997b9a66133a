"""`retry: 2` of what a model writes: how often, and to what end."""

from __future__ import annotations

from collections.abc import Iterable

from alora_flow.language.checking.checker import Checker
from alora_flow.language.meaning.folding import fold
from alora_flow.language.meaning.program import Argument, Literal
from alora_flow.language.meaning.types import ERROR, STR, Type


def check_retry(checker: Checker, settings: Iterable[Argument], as_type: Type | None) -> None:
    """The plan counts every try, so their number is a constant. Text is always right, and only what is drawn comes out
    otherwise."""
    given = {item.name: item.value for item in settings}
    retry, temperature = given.get("retry"), fold(given["temperature"]) if "temperature" in given else None
    if retry is None or retry.type == ERROR:
        return
    if fold(retry) is None:
        help = "the plan must know it: write a number or a const"
        checker.report.add("E0208", "'retry' must be a constant", retry.span, help)
    elif "timeout" in given:  # the next try may be in time
        return
    elif as_type in (None, STR):
        help = "leave it out, or write 'generate(…) as T'"
        checker.report.add("W0804", "text always fits: a retry of it does nothing", retry.span, help)
    elif "temperature" not in given or (isinstance(temperature, Literal) and temperature.value == 0):
        help = "give it a temperature, as in 'temperature: 0.8': each try has another seed"
        checker.report.add("W0804", "without a temperature, a retry writes the same again", retry.span, help)
