"""Any value of a run as JSON data."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from alora_flow.prompts.contents import Thread
from alora_flow.values.data import Distribution, Numbered, OwnCall, Pair, Reply, chat_of_thread


def plain(value: Any) -> Any:
    """Records by their fields, threads as turns, replies as their text, distributions as outcomes and probabilities."""
    match value:
        case Reply(text=text):
            return text
        case Distribution(outcomes=outcomes, probabilities=probabilities):
            return [{"outcome": plain(o), "p": p} for o, p in zip(outcomes, probabilities, strict=True)]
        case OwnCall():
            return {**vars(value), "value": plain(value.value)}
        case Numbered(index=index, value=inner):
            return {"index": index, "value": plain(inner)}
        case Pair(first=first, second=second):
            return {"first": plain(first), "second": plain(second)}
        case BaseModel():
            return value.model_dump(mode="json")
        case Thread():
            return [turn.model_dump(mode="json") for turn in chat_of_thread(value)]
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {name: plain(item) for name, item in value.items()}
    return getattr(value, "value", value)
