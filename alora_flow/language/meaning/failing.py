"""What may fail in a run: calls, and operations that have no value for some operands."""

from __future__ import annotations

from alora_flow.language.meaning.program import (
    Binary,
    Builtin,
    Expression,
    FlowCall,
    Generate,
    Index,
    Invoke,
    ToolCall,
    every,
)

CALLS = (Generate, Invoke, ToolCall, FlowCall)
OPERATIONS = (Index, Builtin)


def may_fail(value: Expression) -> bool:
    """Is there anything in it whose failure an `else` can handle?"""
    return any(
        isinstance(part, (*CALLS, *OPERATIONS)) or (isinstance(part, Binary) and part.operator in ("/", "%"))
        for part in every(value)
    )
