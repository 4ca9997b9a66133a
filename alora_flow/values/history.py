"""Chat turns as data, and as others store them: messages of OpenAI's form.

Contents as parts of text, `null` beside calls of tools, results of tools with ids, and the roles `tool` and `developer`
are taken, and so are refusals and the older `function_call`. What is not text is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator
from pydantic.json_schema import SkipJsonSchema

from alora_flow.language.meaning.program import Role
from alora_flow.values.text import UnicodeText

ROLES = {"tool": "tool_result", "function": "tool_result", "ipython": "tool_result", "developer": "system"}
"""Others' names for the language's roles."""

EMPTY = (
    *("refusal", "annotations", "audio", "function_call", "tool_calls", "name", "tool_call_id", "type"),
    *("reasoning_content", "reasoning"),
)
"""Fields that stored messages carry, and that say nothing where they are null or empty."""

SILENT = {"type": ("message",), "status": ("completed",)}
"""Fields of what OpenAI's Responses write, and their values that say nothing. An `id` never does."""

WORD = re.compile(r"[\w.:-]{0,128}")
"""A template writes names and ids as they are: so they are words, which spell no control token."""

Word = Annotated[str, Field(pattern=f"^{WORD.pattern}$")]


class ChatCall(BaseModel):
    """A call of a tool that an assistant's turn asks for; `arguments` are a JSON object, as text or as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: Annotated[Word, Field(min_length=1)]
    arguments: UnicodeText = "{}"
    id: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _from_others(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        fields = {name: part for name, part in value.items() if name not in ("function", "type", "index")}
        function = value.get("function")
        fields |= function if isinstance(function, Mapping) else {}
        if value.get("type", "function") != "function":
            raise ValueError(f"a call of type {value['type']!r}; only calls of functions can be taken")
        fields["arguments"] = _arguments(fields.get("arguments", "{}"))
        return {**fields, "id": fields.get("id") or ""}

    @model_serializer
    def _for_others(self) -> dict[str, Any]:
        shown = {"id": self.id} if self.id else {}
        return {**shown, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class ChatTurn(BaseModel):
    """One turn of a `chat`, as data. Its role is one of the language's: a template writes a role as it is, so that one
    of a caller's choice could spell control tokens.

    tool_calls: what an assistant asks for; tool_call_id, name: the call that a tool's result answers;
    reasoning_content: an assistant's thoughts, where they are not in its content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    role: Role
    content: UnicodeText
    tool_calls: SkipJsonSchema[tuple[ChatCall, ...]] = ()
    tool_call_id: SkipJsonSchema[Word] = ""
    name: SkipJsonSchema[Word] = ""
    reasoning_content: SkipJsonSchema[UnicodeText] = ""

    @model_validator(mode="before")
    @classmethod
    def _from_others(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        told = {name: part for name, part in value.items() if name != "id" and part not in SILENT.get(name, ())}
        fields = {name: part for name, part in told.items() if part or name not in EMPTY}
        role = fields.get("role")
        if isinstance(role, str):
            fields["role"] = ROLES.get(role, role)
        if "reasoning" in fields and "reasoning_content" not in fields:
            fields["reasoning_content"] = fields.pop("reasoning")
        if "function_call" in fields and "tool_calls" not in fields:
            fields["tool_calls"] = [{"function": fields.pop("function_call")}]
        if not fields.get("content") and "refusal" in fields:
            fields["content"] = fields.pop("refusal")
        if "content" in fields or "tool_calls" in fields:
            fields["content"] = _content(fields.get("content"), bool(fields.get("tool_calls")))
        return fields

    @model_validator(mode="after")
    def _fits_its_role(self) -> ChatTurn:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls in a turn of role '{self.role}'; only an assistant asks for tools")
        if self.reasoning_content and self.role != "assistant":
            raise ValueError(f"reasoning_content in a turn of role '{self.role}'; only an assistant has thoughts")
        if self.tool_call_id and self.role != "tool_result":
            raise ValueError(f"tool_call_id in a turn of role '{self.role}'; only a tool's result has one")
        return self

    @model_serializer(mode="wrap")
    def _shown(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value or name in ("role", "content")}


def _content(content: Any, calls: bool) -> Any:
    if content is None and calls:
        return ""
    if content is None:
        raise ValueError("its content is null; only a turn that asks for tools may have none")
    if not isinstance(content, list):
        return content
    return "".join(_texts(content))


def _texts(parts: list[Any]) -> Iterator[str]:
    for number, part in enumerate(parts, start=1):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("refusal" if kind == "refusal" else "text") if isinstance(part, Mapping) else None
        if kind not in ("text", "input_text", "output_text", "refusal") or not isinstance(text, str):
            said = f"is of type {kind!r}" if kind not in (None, "text") else "has no text"
            raise ValueError(f"part {number} of the content {said}; only parts of text can be taken")
        yield text


def _arguments(given: Any) -> str:
    if given is None or given == "":
        return "{}"
    try:
        read = json.loads(given) if isinstance(given, str) else given
        odd = next((key for key in _keys(read) if not WORD.fullmatch(key)), None)
    except ValueError as error:
        raise ValueError(f"arguments that are not JSON: {error}") from None
    except RecursionError:
        raise ValueError("arguments that are nested too deeply") from None
    if not isinstance(read, dict):
        raise ValueError("arguments have to be a JSON object")
    if odd is not None:
        raise ValueError(f"an argument's name has to be a word, not {odd!r}")
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _keys(value: Any) -> Iterator[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield from value
    for part in inner:
        yield from _keys(part)
