"""Tools: found beside the flow, called with timeout, retries and fallback, checked by type."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alora_flow.errors import BadInput, RunFailed
from alora_flow.execution.tools import call_tool, find_tool
from alora_flow.language import load
from alora_flow.language.meaning import types as t
from alora_flow.language.meaning.program import ListValue, ToolDecl
from alora_flow.language.report.source import Source
from alora_flow.values.data import Document

NOWHERE = Source("test.flow", "").span(0, 0)


def tool(**fields: Any) -> ToolDecl:
    plain = {"parameters": (), "result": t.ListType(t.DOCUMENT), "function": "kb:search", "pure": False}
    settings = {"timeout": None, "retry": 0, "backoff": 0.0, "fallback": None}
    return ToolDecl("search", "search", "", NOWHERE, **{**plain, **settings, **fields})


def failing(times: int) -> tuple[Callable[[], list[dict[str, str]]], list[int]]:
    """A function that raises so many times before it works, and the list of its calls."""
    calls: list[int] = []

    def function() -> list[dict[str, str]]:
        calls.append(len(calls))
        if len(calls) <= times:
            raise OSError("the index is away")
        return [{"text": "found"}]

    return function, calls


def test_a_result_becomes_the_declared_type() -> None:
    assert call_tool(tool(), failing(0)[0], {}) == [Document(text="found")]


def test_a_result_of_another_type_is_an_error_that_names_the_place() -> None:
    with pytest.raises(RunFailed, match=r"tool 'search' gave no list\[document\]: \[0\]\['text'\]"):
        call_tool(tool(), lambda: [{"title": "no text"}], {})


def test_retries_until_it_works() -> None:
    function, calls = failing(2)
    assert call_tool(tool(retry=2), function, {}) == [Document(text="found")]
    assert len(calls) == 3


def test_the_last_try_is_what_is_reported() -> None:
    function, calls = failing(9)
    with pytest.raises(RunFailed, match="tool 'search' raised OSError: the index is away"):
        call_tool(tool(retry=1), function, {})
    assert len(calls) == 2


def test_a_fallback_stands_in_when_every_try_fails() -> None:
    empty = ListValue(t.ListType(t.NEVER), NOWHERE, ())
    assert call_tool(tool(fallback=empty), failing(9)[0], {}) == []


def test_a_timeout_ends_the_wait() -> None:
    with pytest.raises(RunFailed, match=r"took longer than its timeout of 0\.05 s"):
        call_tool(tool(timeout=0.05), lambda: time.sleep(5), {})


def test_an_async_tool_is_awaited() -> None:
    async def search() -> list[dict[str, str]]:
        await asyncio.sleep(0)
        return [{"text": "later"}]

    assert call_tool(tool(), search, {}) == [Document(text="later")]


def test_a_file_beside_the_flow_is_found(tmp_path: Path) -> None:
    (tmp_path / "kb.py").write_text("def search():\n    return 'mine'\n")
    assert find_tool(tool(), tmp_path)() == "mine"


@pytest.mark.parametrize(
    ("function", "said"), [("no_such_module:f", "no module 'no_such_module'"), ("json:f", "has no function 'f'")]
)
def test_a_tool_that_is_not_there_is_named(tmp_path: Path, function: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        find_tool(tool(function=function), tmp_path)


CHANGE = 'tool change(tags: map[str], words: list[str]) -> list[document] = python "kb:change"\n'


def test_what_a_tool_changes_is_its_own() -> None:
    tags, words = {"a": "b"}, ["one"]

    def change(tags: dict[str, str], words: list[str]) -> list[dict[str, str]]:
        tags["added"] = words.pop()
        return [{"text": tags["added"]}]

    assert call_tool(load(CHANGE).tools["change"], change, {"tags": tags, "words": words}) == [Document(text="one")]
    assert (tags, words) == ({"a": "b"}, ["one"])
