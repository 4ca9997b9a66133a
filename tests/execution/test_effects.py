"""Tools that are not pure work in the order of the source, and a failing one holds back what is written after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import alora_flow
from alora_flow.errors import RunFailed
from alora_flow.module import Module

TOOLS = """
tool slow(n: int) -> int = python "none:slow"
tool quick(n: int) -> int = python "none:quick"
tool pure(n: int) -> int = python "none:pure" with (pure: true)
tool broken() -> int = python "none:broken"
"""

Opened = tuple[Module, list[str]]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], Opened]:
    def open_it(flows: str) -> Opened:
        (tmp_path / "effects.flow").write_text(TOOLS + flows)
        log: list[str] = []

        def tool(name: str, seconds: float) -> Callable[[int], int]:
            def work(n: int) -> int:
                log.append(f"{name} {n}")
                time.sleep(seconds)
                log.append(f"end {n}")
                return n

            return work

        def broken() -> int:
            raise ValueError("no")

        tools = {"slow": tool("slow", 0.05), "quick": tool("quick", 0), "pure": tool("pure", 0), "broken": broken}
        return alora_flow.load(tmp_path / "effects.flow", tools=tools), log

    return open_it


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ("let _ = slow(1) let _ = quick(2) let _ = quick(3) return 1", "1 2 3"),
        ("if slow(1) > 0 { let _ = slow(2) } else { let _ = quick(9) } let _ = quick(3) return 1", "1 2 3"),
        ("let x = if slow(1) < 0 { slow(9) } else { slow(2) } let _ = quick(3) return x", "1 2 3"),
        ("let x = inner(1) let y = quick(3) return x + y", "1 2 3"),
        ("return slow(1) + quick(2)", "1 2"),
        (
            "return repeat up to 2 { let y = slow(1) let z = quick(2) accept z when y > 1 } else { accept 0 }",
            "1 2 1 2",
        ),
        ("let x = broken() else { slow(1) } let _ = quick(2) return x", "1 2"),
        ("match slow(1) { 2 => { let _ = slow(9) } else => { let _ = slow(2) } } return quick(3)", "1 2 3"),
    ],
)
def test_effects_happen_in_the_order_of_the_source(opened: Callable[[str], Opened], body: str, order: str) -> None:
    inner = "flow inner(n: int) -> int { let a = slow(n) let _ = slow(2) return a }"
    module, log = opened(f"{inner} flow f() -> int {{ {body} }}")
    module.f()
    assert [entry.split()[1] for entry in log if not entry.startswith("end")] == order.split()
    assert log[1::2] == [f"end {entry.split()[1]}" for entry in log[::2]], "one ends before the next begins"


def test_the_elements_of_a_for_are_side_by_side_and_all_of_them_before_what_follows(
    opened: Callable[[str], Opened],
) -> None:
    module, log = opened(
        "flow f() -> int { let _ = quick(0) for i in range(3) { let _ = slow(i + 1) let _ = quick(i + 11) }"
        "return quick(4) }"
    )
    module.f()
    assert log[:2] == ["quick 0", "end 0"]
    assert log[-2:] == ["quick 4", "end 4"]
    assert log.index("slow 3") < log.index("end 1")
    for i in (1, 2, 3):
        assert log.index(f"end {i}") < log.index(f"quick {i + 10}")


def test_pure_tools_wait_for_nothing(opened: Callable[[str], Opened]) -> None:
    module, log = opened("flow f() -> int { let a = slow(1) let b = pure(2) return a + b }")
    module.f()
    assert log.index("pure 2") < log.index("end 1")


@pytest.mark.parametrize(
    "body", ["let _ = broken() let _ = quick(1) return 1", "let a = fails() let b = quick(1) return a + b"]
)
def test_nothing_happens_after_a_failure(opened: Callable[[str], Opened], body: str) -> None:
    module, log = opened(f"flow fails() -> int {{ return broken() }} flow f() -> int {{ {body} }}")
    with pytest.raises(RunFailed, match="no"):
        module.f()
    assert log == []


def test_an_attempt_holds_back_what_is_written_behind_the_failing_tool(opened: Callable[[str], Opened]) -> None:
    module, log = opened(
        "flow inner() -> int { let _ = broken() return quick(1) }"
        "flow f() -> int { let x = inner() else { 5 } let _ = quick(2) return x }"
    )
    assert module.f().value == 5
    assert log == ["quick 2", "end 2"]
