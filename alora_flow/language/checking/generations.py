"""What `generate(…) as T` asks of a model: how often, and numbers that can be written."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from alora_flow.language.checking.scope import Report
from alora_flow.language.meaning.program import Argument, Literal
from alora_flow.language.meaning.settings import SAMPLES
from alora_flow.language.meaning.types import ERROR, FloatType, IntType, Type, inside
from alora_flow.language.report.source import Span

MOST = 10**18
"""Grammars of numbers end here, and at its negative."""


def sample_count(report: Report, given: Sequence[Argument]) -> int | None:
    """`n: 4` of a `generate`, None where it is not written, 0 where it is wrong; the plan must know it."""
    setting = _find(given, SAMPLES)
    if setting is None:
        return None
    _constant(report, setting, "the plan must know it: write a number or a const")
    temperature = _find(given, "temperature")
    greedy = temperature is None or (isinstance(temperature.value, Literal) and not temperature.value.value)
    number = _number(setting)
    if greedy and number != 1:
        help = "give it a temperature, as in 'temperature: 0.8'"
        report.add("W0804", "samples without a temperature are all alike", setting.value.span, help)
    return number or 0


def check_range(report: Report, type: Type, span: Span) -> None:
    """Can every number of a type be written?"""
    beyond = next((part for part in inside(type) if isinstance(part, IntType | FloatType) and _beyond(part)), None)
    if beyond is not None:
        message = f"a model writes numbers between -10^18 and 10^18, and '{beyond}' lies beyond"
        report.add("E0404", message, span, "ask for them in another unit")


def check_digits(report: Report, type: Type, given: Sequence[Argument]) -> None:
    """`digits: 2` of what is generated, which has floats that can be written so."""
    digits = _find(given, "digits")
    if digits is None:
        return
    _constant(report, digits, "the grammar must know it: write a number or a const")
    floats = [part for part in inside(type) if isinstance(part, FloatType)]
    number, span = _number(digits), digits.value.span
    if not floats:
        report.add("W0804", f"a {type} has no float that 'digits' could be of", span, "leave it out")
    for part in floats if number is not None else ():
        if not _has_value(part, number or 0):
            message = f"no number with {number} digits after the point lies in '{part}'"
            report.add("E0401", message, span, "ask for more digits")
            return


def _find(given: Sequence[Argument], name: str) -> Argument | None:
    return next((item for item in given if item.name == name), None)


def _number(setting: Argument) -> int | None:
    value = setting.value.value if isinstance(setting.value, Literal) else None
    return value if isinstance(value, int) else None


def _constant(report: Report, setting: Argument, help: str) -> None:
    if not isinstance(setting.value, Literal) and setting.value.type != ERROR:
        report.add("E0208", f"'{setting.name}' must be a constant", setting.value.span, help)


def _beyond(type: IntType | FloatType) -> bool:
    return (type.low is not None and type.low > MOST) or (type.high is not None and type.high < -MOST)


def _has_value(type: FloatType, digits: int) -> bool:
    if type.low is None or type.high is None:
        return True
    step = Decimal(1).scaleb(-digits)
    return (Decimal(str(type.low)) / step).to_integral_value(ROUND_CEILING) * step <= Decimal(str(type.high))
