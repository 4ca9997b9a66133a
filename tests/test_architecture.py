"""Imports point one way, and torch stays where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINE = [
    "language",
    "prompts",
    "values",
    "intrinsics",
    "planning",
    "backends",
    "execution",
    "flow",
    "module",
    "testing",
    "views",
    "cli",
]
TORCH_USERS = ("runtime/alora_runtime/", "alora_flow/training/", "alora_flow/mini/", "tests/", "benchmarks/")
FILES = sorted(
    path
    for folder in ("alora_flow", "runtime/alora_runtime", "flows", "grammar")
    for path in (ROOT / folder).rglob("*.py")
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[tuple[str, ast.AST]]:
    """Absolute names of all modules that a file imports."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module, node))
    return found


ROOMS = {
    "alora_flow/language": ["report", "syntax", "meaning", "checking", "printing"],
    "runtime/alora_runtime": ["cache", "answer", "schedule", "adapters", "compute", "gguf", "calls"],
}
"""Folders whose rooms have an order of their own, each may import from those before it."""


@pytest.mark.parametrize("folder", ROOMS)
def test_rooms_import_from_those_before_them(folder: str) -> None:
    rooms, package = ROOMS[folder], folder.removeprefix("runtime/").replace("/", ".") + "."
    for path in sorted((ROOT / folder).rglob("*.py")):
        room = path.relative_to(ROOT / folder).parts[0]
        for name, _ in imports(path) if room in rooms else ():
            other = name.removeprefix(package).split(".")[0]
            if name.startswith(package) and other in rooms:
                assert rooms.index(other) <= rooms.index(room), f"{path.name} of {room} imports {name}"


ASIDE = {
    "training": {"training", "errors", "prompts", "values", "intrinsics"},
    "mini": {"training", "mini", "intrinsics", "errors"},
}
"""Folders beside the line, with what of alora_flow they may import: the bundled model is made without the language."""


@pytest.mark.parametrize("folder", ASIDE)
def test_what_stands_beside_the_line_imports_nothing_of_it(folder: str) -> None:
    for path in sorted((ROOT / "alora_flow" / folder).rglob("*.py")):
        for name in (name for name, _ in imports(path) if name.startswith("alora_flow.")):
            assert name.split(".")[1] in ASIDE[folder], f"{path.name} imports {name}"


STAGES = (
    "language/syntax/nodes.py",
    "language/meaning/program.py",
    "language/meaning/types.py",
    "planning/graph/nodes.py",
    "prompts/contents.py",
)
"""A flow on its way: what one calls `Generate` is the same thing in each, as it is written, checked and run."""


def test_no_public_class_has_two_meanings() -> None:
    homes: dict[str, set[str]] = {}
    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add("a stage" if place.endswith(STAGES) else place)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_every_package_is_installed() -> None:
    made = {path.parent.relative_to(ROOT).as_posix() for path in FILES if path.name == "__init__.py"}
    names = {name.removeprefix("runtime/").replace("/", ".") for name in made}
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert declared == {f"alora_flow.{name}" if name in ("flows", "grammar") else name for name in names}


def test_imports_point_backwards_along_the_line() -> None:
    for path in FILES:
        own = path.relative_to(ROOT).with_suffix("").parts
        if own[:1] != ("alora_flow",) or len(own) < 2 or own[1] not in LINE:
            continue
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[0] == "alora_flow" and len(parts) > 1 and parts[1] in LINE:
                assert LINE.index(parts[1]) <= LINE.index(own[1]), f"{own[1]} imports {name}"


def test_the_engine_knows_nothing_of_flows_and_only_training_imports_torch_beside_it() -> None:
    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        names = [name.split(".")[0] for name, _ in imports(path)]
        if place.startswith("runtime/"):
            assert "alora_flow" not in names, place
        if not place.startswith(TORCH_USERS):
            assert not {"torch", "transformers"} & set(names), place


def test_no_import_is_hidden_in_a_function() -> None:
    for path in FILES:
        for outer in ast.walk(tree(path)):
            if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
                hidden = [node for node in ast.walk(outer) if isinstance(node, (ast.Import, ast.ImportFrom))]
                assert not hidden, f"{path.name}: {outer.name} imports at line {hidden[0].lineno}"


def test_importing_does_not_bring_torch() -> None:
    modules = "alora_flow, alora_flow.module, alora_flow.cli.check, alora_flow.cli.plan, alora_flow.cli.graph"
    code = f"import sys, {modules}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
