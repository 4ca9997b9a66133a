"""Tools from Python: given to `load`, checked against their declarations, with the caller's context variables."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import BadInput, BadUsage, Module, RunFailed

FLOW = """
model base = "mini"
record Note { tags: list[str], text: str = "t" }
tool search(q: str, k: int = 3) -> list[str] = python "nowhere:search"
tool note(n: Note, xs: list[str]) -> int = python "nowhere:note"
tool slow(n: int) -> int = python "nowhere:slow" with (timeout: 50ms, retry: 1)
flow find(q: str) -> list[str] { return search(q) }
flow twice(q: str) -> list[str] { return search(q) + search("{q}!") }
flow noted(n: Note) -> Note {
  let xs = ["a", "b"]
  let count = note(n: n, xs: xs)
  return Note(tags: n.tags + xs, text: "{count}")
}
flow waits() -> int { return slow(1) }
"""
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


def loaded(folder: Path, **tools: Any) -> Module:
    (folder / "f.flow").write_text(FLOW)
    return alora_flow.load(folder / "f.flow", backend="echo", tools=tools)


def plainly(q: str, k: int) -> list[str]:
    return [f"{WHO.get()} {q} {k}"]


async def awaited(q: str, k: int = 1) -> list[str]:
    await asyncio.sleep(0)
    return plainly(q, k)


class Index:
    def __len__(self) -> int:
        return 0  # and so it is false

    def __call__(self, q: str, **more: Any) -> list[str]:
        return plainly(q, more["k"])

    async def search(self, q: str, k: int) -> list[str]:
        return plainly(q, k)


FUNCTIONS = [plainly, awaited, Index(), Index().search, partial(plainly), lambda **given: plainly(**given)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_all_kinds_stand_in_for_the_declared_one(tmp_path: Path, function: Callable[..., Any]) -> None:
    assert loaded(tmp_path, search=function).find(q="a").value == ["nobody a 3"]


@pytest.mark.parametrize(
    ("name", "function", "said", "help"),
    [
        ("serch", plainly, "declares no tool 'serch'", "did you mean 'search'?"),
        ("x", plainly, "declares no tool 'x'", "its tools: search, note, slow"),
        ("search", 3, "tool 'search': 3 is not a function", None),
        ("search", lambda q: [], r"'search' is declared as \(q: str, k: int\).*takes \(q\): .*unexpected.*'k'", "same"),
        ("search", lambda q, k, n: [], r"takes \(q, k, n\): missing a required argument: 'n'", "same"),
        ("search", lambda q, /, k: [], r"takes \(q, /, k\)", "same"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(
    tmp_path: Path, name: str, function: Any, said: str, help: str | None
) -> None:
    with pytest.raises(BadInput, match=said) as wrong:
        loaded(tmp_path, **{name: function})
    assert (help or "") in (wrong.value.help or "")


def test_a_function_that_is_found_is_compared_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def search(q): return []\ndef begin(): raise AssertionError\n")
    (tmp_path / "g.flow").write_text(
        'model base = "mini"\ntool begin() -> int = python "own:begin"\n'
        'tool search(q: str, k: int) -> list[str] = python "own:search"\n'
        'flow f() -> int { return begin() + len(search("a", 1)) }\n'
    )
    with pytest.raises(BadInput, match=r"declared as \(q: str, k: int\)"):
        alora_flow.load(tmp_path / "g.flow", backend="echo").f()


def test_a_tool_of_an_imported_file_goes_by_the_name_of_the_import(tmp_path: Path) -> None:
    (tmp_path / "g.flow").write_text(
        'import "f.flow" as inner\nflow g(q: str) -> list[str] { return inner.find(q: q) }\n'
    )
    loaded(tmp_path)
    module = alora_flow.load(tmp_path / "g.flow", backend="echo", tools={"inner.search": plainly})
    assert module.g(q="a").value == ["nobody a 3"]


@pytest.mark.parametrize("function", [plainly, awaited])
def test_context_variables_of_the_caller_reach_tools(tmp_path: Path, function: Callable[..., Any]) -> None:
    module = loaded(tmp_path, search=function)

    def as_somebody(name: str) -> list[str]:
        WHO.set(name)
        values: list[str] = module.twice(q="a").value
        return values + next(iter(module.find.map([{"q": "b"}]))).value

    async def as_task(name: str) -> list[str]:
        WHO.set(name)
        values: list[str] = (await module.twice.arun(q="a")).value
        return values + [event async for event in module.find.stream(q="b")][-1].value  # type: ignore[union-attr]

    async def tasks() -> list[list[str]]:
        return await asyncio.gather(*map(as_task, names))

    names = [f"user {n}" for n in range(4)]
    wanted = [[f"{name} a 3", f"{name} a! 3", f"{name} b 3"] for name in names]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(as_somebody, names)) == wanted
    assert asyncio.run(tasks()) == wanted
    assert WHO.get() == "nobody"


def test_what_a_tool_sets_stays_its_own(tmp_path: Path) -> None:
    def search(q: str, k: int) -> list[str]:
        before = WHO.get()
        WHO.set(q)
        return [before]

    assert loaded(tmp_path, search=search).twice(q="a").value == ["nobody", "nobody"]


@pytest.mark.parametrize("as_async", [False, True])
def test_a_tool_that_changes_its_arguments_changes_only_its_own(tmp_path: Path, as_async: bool) -> None:
    def note(n: Any, xs: list[str]) -> int:
        n.tags.append("changed")
        xs.append("changed")
        return len(xs)

    async def later(n: Any, xs: list[str]) -> int:
        return note(n, xs)

    given = ["x"]
    result = loaded(tmp_path, note=later if as_async else note).noted(n={"tags": given})
    assert result.value.model_dump() == {"tags": ["x", "a", "b"], "text": "3"}
    assert given == ["x"]


def test_a_coroutine_that_takes_too_long_is_cancelled_each_time(tmp_path: Path) -> None:
    cancelled: list[int] = []
    done = threading.Event()

    async def slow(n: int) -> int:
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.append(n)
            if len(cancelled) == 2:
                done.set()
        return n

    with pytest.raises(RunFailed, match="took longer than its timeout"):
        loaded(tmp_path, slow=slow).waits()
    assert done.wait(60)


def test_an_async_tool_may_await_a_flow_and_not_wait_for_one(tmp_path: Path) -> None:
    async def ask(q: str, k: int) -> list[str]:
        return (await module.find.arun(q="deeper")).value if q == "a" else [q]  # type: ignore[no-any-return]

    async def wait(q: str, k: int) -> list[str]:
        return module.find(q="deeper").value if q == "a" else [q]  # type: ignore[no-any-return]

    module = loaded(tmp_path, search=ask)
    assert module.find(q="a").value == ["deeper"]
    module = loaded(tmp_path, search=wait)
    with pytest.raises(RunFailed, match="an async tool that waits for a flow") as failed:
        module.find(q="a")
    assert isinstance(failed.value.__cause__, BadUsage)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def test_an_error_that_can_not_be_printed_is_reported(tmp_path: Path) -> None:
    def search(q: str, k: int) -> list[str]:
        raise Unsayable

    with pytest.raises(RunFailed, match=r"tool 'search' raised Unsayable \(which can't be printed\)"):
        loaded(tmp_path, search=search).find(q="a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", r"module 'own' cannot be imported: SyntaxError: .*\(own\.py, line 1\)"),
        ("import no_such_thing\n", "module 'own' needs another: No module named 'no_such_thing'"),
        ("from no_such.thing import x\n", "module 'own' needs another: No module named 'no_such'"),
        ("raise SystemExit(4)\n", "module 'own' cannot be imported: SystemExit: 4"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n", "cannot be imported: E .which"),
        ("f = 3\n", "module 'own' has no function 'f'"),
    ],
)
def test_a_module_that_can_not_be_imported_says_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "g.flow").write_text(
        'model base = "mini"\ntool f() -> int = python "own:f"\nflow g() -> int { return f() }\n'
    )
    with pytest.raises(BadInput, match=said):
        alora_flow.load(tmp_path / "g.flow", backend="echo").g()


def test_threads_that_first_want_a_slow_module_at_once_all_get_it(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import time\ntime.sleep(0.3)\ndef f(): return 2\n")
    (tmp_path / "g.flow").write_text(
        'model base = "mini"\nrecord R { n: int }\ntool f() -> int = python "own:f"\nflow g() -> R { return R(f()) }\n'
    )
    module = alora_flow.load(tmp_path / "g.flow", backend="echo")
    together = threading.Barrier(4)

    def call(_: int) -> Any:
        together.wait(60)
        return module.g().value

    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(call, range(4)))
    assert [value.n for value in values] == [2] * 4
    assert {type(value) for value in values} == {module.R}


def test_a_row_that_fails_does_not_lose_the_others(tmp_path: Path) -> None:
    def search(q: str, k: int) -> list[str]:
        if q == "bad":
            raise LookupError(q)
        return [q]

    flow = loaded(tmp_path, search=search).find
    rows = flow.map([{"q": "a"}, {"q": "bad"}, {"q": 3}, {"q": "b"}], return_exceptions=True)
    assert [row.value if isinstance(row, alora_flow.Result) else type(row).__name__ for row in rows] == [
        ["a"],
        "RunFailed",
        "BadValue",
        ["b"],
    ]
    with pytest.raises(RunFailed, match="LookupError: bad"):
        flow.map([{"q": "a"}, {"q": "bad"}])


def test_a_lone_surrogate_is_an_input_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="input 'q' of flow 'find'"):
        loaded(tmp_path, search=plainly).find(q="a\ud800")
    with pytest.raises(BadInput, match="input 'n' of flow 'noted'"):
        loaded(tmp_path, search=plainly).noted(n={"tags": ["\udfff"]})
    with pytest.raises(RunFailed, match="tool 'search' gave no"):
        loaded(tmp_path, search=lambda q, k: ["\ud800"]).find(q="a")
