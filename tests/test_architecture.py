"""Imports point one way, and torch stays where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
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
    "module",
    "testing",
    "views",
    "cli",
]
TORCH_USERS = ("runtime/alora_runtime/", "alora_flow/mini/", "tests/", "benchmarks/")
FILES = sorted(
    path
    for folder in ("alora_flow", "runtime/alora_runtime", "flows", "grammar")
    for path in (ROOT / folder).rglob("*.py")
)


def imports(path: Path) -> list[tuple[str, ast.AST]]:
    """Absolute names of all modules that a file imports."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module, node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_backwards_along_the_line(path: Path) -> None:
    own = path.relative_to(ROOT).with_suffix("").parts
    if own[:1] != ("alora_flow",) or len(own) < 2 or own[1] not in LINE:
        return
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "alora_flow" and len(parts) > 1 and parts[1] in LINE:
            assert LINE.index(parts[1]) <= LINE.index(own[1]), f"{own[1]} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_knows_nothing_of_flows_and_only_it_and_mini_import_torch(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    names = [name.split(".")[0] for name, _ in imports(path)]
    if place.startswith("runtime/"):
        assert "alora_flow" not in names
    if not place.startswith(TORCH_USERS):
        assert not {"torch", "transformers"} & set(names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_is_hidden_in_a_function(path: Path) -> None:
    for outer in ast.walk(ast.parse(path.read_text())):
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            hidden = [node for node in ast.walk(outer) if isinstance(node, (ast.Import, ast.ImportFrom))]
            assert not hidden, f"{outer.name} imports at line {hidden[0].lineno}"


@pytest.mark.parametrize(
    "module",
    ["alora_flow", "alora_flow.module", "alora_flow.cli.check", "alora_flow.cli.plan", "alora_flow.cli.graph"],
)
def test_importing_does_not_bring_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
