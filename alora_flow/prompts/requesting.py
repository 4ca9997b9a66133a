"""How a chat template writes an assistant's call of a tool."""

from __future__ import annotations

import json
from itertools import product

from alora_flow.errors import BadModel
from alora_flow.prompts.messages import NO_CONTENT
from alora_flow.prompts.template import ChatTemplate, MessageShape

ARGUMENTS: tuple[object, ...] = ({}, "{}")
"""As templates take them: an object or its JSON."""
CALL_ID = "calltool1"
"""For templates that write an id of nine letters and digits. One call stands in a turn, and any id will do."""


def writes_calls(template: ChatTemplate) -> bool:
    """Does a template look for calls of tools?"""
    return "tool_calls" in template.constants | template.names


def call_form(template: ChatTemplate, name: str, end: str) -> tuple[str, str] | None:
    """What stands before and behind the arguments, as JSON, of a call of the tool `name`; None where the template has
    no such form. `end`: the text that ends a turn."""
    if not writes_calls(template):
        return None
    for arguments, nothing in product(ARGUMENTS, NO_CONTENT):
        function = {"name": name, "arguments": arguments}
        call = {"id": CALL_ID, "type": "function", "function": function}
        asking = {"role": "assistant", **nothing, "tool_calls": [call]}
        turns = ("user", MessageShape("assistant", json.dumps(asking), 0))
        try:
            opened = template.render(("user",), ("?",), generation=True)
            written = template.render(turns, ("?",), generation=False)
        except BadModel:
            continue
        before, found, behind = written.removeprefix(opened).partition("{}")
        if written.startswith(opened) and found and name in before:
            return before.lstrip(), (behind.partition(end)[0] if end else behind).rstrip()
    return None
