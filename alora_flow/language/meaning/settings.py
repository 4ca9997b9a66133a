"""Names and types of everything that is set by a named argument: tables, read by the checker and by completion."""

from __future__ import annotations

from alora_flow.language.meaning.relations import union
from alora_flow.language.meaning.types import BOOL, DURATION, INT, STR, UNIT_FLOAT, FloatType, IntType, ListType, Type

POSITIVE = IntType(1)

# `generate(...)`, and `with (...)` of an intrinsic
SAMPLING: dict[str, Type] = {
    "max_tokens": POSITIVE,
    "temperature": FloatType(0.0),
    "top_p": UNIT_FLOAT,
    "top_k": POSITIVE,
    "min_p": UNIT_FLOAT,
    "seed": INT,
    "stop": union([STR, ListType(STR)]),
    "digits": IntType(0, 10),
    "retry": IntType(0),
    "timeout": DURATION,
}

# what `generate(...)` has beside these
SAMPLES = "n"
GENERATE: dict[str, Type] = {**SAMPLING, SAMPLES: POSITIVE}

# `with (...)` of a tool; `fallback` has the tool's own result type
TOOL: dict[str, Type] = {
    "pure": BOOL,
    "timeout": DURATION,
    "retry": IntType(0),
    "backoff": DURATION,
    "invoke": STR,
}

# `budget { tokens <= 9000, wall <= 20s }` of a flow
BUDGET: dict[str, Type] = {
    "tokens": POSITIVE,
    "prefill": POSITIVE,
    "generated": POSITIVE,
    "invokes": POSITIVE,
    "calls": POSITIVE,
    "wall": DURATION,
}
