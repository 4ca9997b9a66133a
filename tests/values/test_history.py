"""Chats as others store them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from alora_flow.prompts.thread import KnownText
from alora_flow.values.data import chat_of_thread, thread_of_chat
from alora_flow.values.history import ChatTurn
from tests.prompts import oracle

CHAT = TypeAdapter(list[ChatTurn])

DEEP = '{"a": ' * 5000 + "1" + "}" * 5000
CALL = {"id": "call_1", "type": "function", "function": {"name": "mayor", "arguments": '{"city": "Tarnok"}'}}
STORED: list[dict[str, Any]] = [
    {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
    {"role": "user", "content": "Who is the mayor?", "name": "ada"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": []},
    {"role": "tool", "content": '{"mayor": "Ada"}', "tool_call_id": "call_1"},
    {"role": "assistant", "content": "Ada.", "tool_calls": None, "function_call": None},
]


def test_stored_messages_are_taken() -> None:
    chat = CHAT.validate_python(STORED)
    assert [turn.role for turn in chat] == ["system", "user", "assistant", "tool_result", "assistant"]
    assert chat[0].content == "Be brief."
    assert chat_of_thread(thread_of_chat(chat))[2:] == chat[2:]
    shown = CHAT.dump_python(chat, mode="json")
    assert shown[2] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert shown[4] == {"role": "assistant", "content": "Ada."}
    assert CHAT.validate_json(json.dumps(shown)) == chat


def test_they_are_written_as_transformers_writes_them(tmp_path: Path) -> None:
    model = oracle.Model(tmp_path, oracle.TOOLS)
    function = {"name": "mayor", "arguments": {"city": "Tarnok"}}
    expected = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who is the mayor?"},
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": function}]},
        {"role": "tool", "content": '{"mayor": "Ada"}', "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Ada."},
    ]
    thread = thread_of_chat(CHAT.validate_python(STORED))
    assert list(model.prompt(thread)) == model.tokens(model.rendered(expected))


def test_the_older_calls_of_functions_are_taken() -> None:
    older: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"role": "function", "name": "mayor", "content": "Ada"},
    ]
    asks, told = CHAT.validate_python(older)
    assert [(call.name, call.arguments) for call in asks.tool_calls] == [("mayor", '{"city": "Tarnok"}')]
    assert (told.role, told.name, told.content) == ("tool_result", "mayor", "Ada")


@pytest.mark.parametrize("arguments", ["", "{}", {}, None])
def test_a_tool_without_parameters_is_called_with_none(arguments: object) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": arguments}}
    (turn,) = CHAT.validate_python([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert turn.tool_calls[0].arguments == "{}"


def test_messages_of_responses_are_taken() -> None:
    parts = [{"type": "output_text", "text": "Ada.", "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts}
    assert CHAT.validate_python([message])[0].content == "Ada."
    for further in ({"status": "incomplete"}, {"type": "function_call"}):
        with pytest.raises(ValidationError, match="Extra inputs"):
            CHAT.validate_python([{**message, **further}])


def test_what_an_assistant_refuses_by_is_what_it_said() -> None:
    parts = [{"type": "refusal", "refusal": "I can't."}]
    for turn in ({"content": None, "refusal": "I can't."}, {"content": parts}, {"refusal": "I can't."}):
        assert CHAT.validate_python([{"role": "assistant", **turn}])[0].content == "I can't."


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_beside_an_answer_stay(field: str) -> None:
    chat = CHAT.validate_python([{"role": "assistant", "content": "Ada.", field: "Hm."}])
    thread = thread_of_chat(chat)
    assert thread[0].thoughts == "Hm."
    assert chat_of_thread(thread) == chat
    shown = CHAT.dump_python(chat, mode="json")
    assert shown == [{"role": "assistant", "content": "Ada.", "reasoning_content": "Hm."}]
    with pytest.raises(ValueError, match="only an assistant has thoughts"):
        CHAT.validate_python([{"role": "user", "content": "Ada.", field: "Hm."}])
    assert CHAT.validate_python([{"role": "user", "content": "Ada.", field: None}])[0].content == "Ada."


def test_content_beside_calls_stays() -> None:
    (turn,) = thread_of_chat(CHAT.validate_python([{**STORED[2], "content": "Let me see."}]))
    assert turn.content == (KnownText("Let me see."),)


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        ({"role": "user", "content": None}, "its content is null; only a turn that asks for tools"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "part 1 .* is of type 'image_url'"),
        ({"role": "user", "content": [{"type": "text"}]}, "part 1 of the content has no text"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "only an assistant asks for tools"),
        ({"role": "user", "content": "x", "tool_call_id": "a"}, "only a tool's result has one"),
        ({"role": "tool", "content": "x", "tool_call_id": "<|end|>"}, "pattern"),
        ({"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}, "a call of type 'custom'"),
        ({"role": "assistant", "tool_calls": [{"name": "<|end|>"}]}, "pattern"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}, "arguments that are not JSON"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[]"}]}, "have to be a JSON object"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": DEEP}]}, "nested too deeply"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}, "have to be a JSON object"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"<|end|>": 1}}]}, "has to be a word"),
        ({"role": "assistant", "content": "x", "refusal": "no"}, "Extra inputs"),
        ({"role": "wizard", "content": "x"}, "'system', 'user'"),
        ("user", "dictionary"),
    ],
)
def test_what_can_not_be_taken_is_named(turn: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CHAT.validate_python([turn])
